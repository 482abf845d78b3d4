/* What C code asks of Apple's header of this name. clang predefines TARGET_OS_* by the target. */
