"""One HTML file that predicts by double click: the skill as data, and a small engine in plain JavaScript."""
