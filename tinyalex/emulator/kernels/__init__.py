"""One .cu file, compiled for the CPU by g++: plain, or with checks of every access."""
