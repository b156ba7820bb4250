"""Models in llama.cpp's format: a file with weights, vocabulary and configuration in one."""
