"""The skill for a Python with numpy and safetensors alone: its weights, and copies of the modules that predict."""
