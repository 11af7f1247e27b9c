# Turns the file IN into a C file OUT that defines cm_consent_lua, a NUL-terminated byte array.
file(READ ${IN} hex HEX)
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
string(REPLACE "0x0a," "0x0a,\n" bytes "${bytes}") # a line of C for each line of the source
file(WRITE ${OUT} "/* Made from consent.lua by embed.cmake. */\n#include \"store/consent_lua.h\"\n\nconst char cm_consent_lua[] = {\n${bytes}0x00};\n")
