# Turns the files IN (a list), one after the other, into a C file OUT that defines cm_consent_lua, a NUL-terminated byte array.
set(bytes "")
foreach(file ${IN})
  file(READ ${file} hex HEX)
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," hex "${hex}")
  string(REPLACE "0x0a," "0x0a,\n" hex "${hex}") # a line of C for each line of the source
  string(APPEND bytes "${hex}")
endforeach()
file(WRITE ${OUT} "/* Made from the functions in Lua by embed.cmake. */\n#include \"store/consent_lua.h\"\n\nconst char cm_consent_lua[] = {\n${bytes}0x00};\n")
