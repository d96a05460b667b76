"""CTranslate2 models of pretrained skills, and the engine that predicts with them."""
