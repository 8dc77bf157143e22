# cmake -DFROM= -DTO= -DVERSION= -P lower_ptx.cmake: PTX of an older version, without the pragma that came later.
file(READ ${FROM} text)
string(REGEX REPLACE "\n\\.version [0-9.]+" "\n.version ${VERSION}" text "${text}")
string(REGEX REPLACE "\n[ \t]*\\.pragma \"used_bytes_mask[^\"]*\"[^\n]*" "" text "${text}")
file(WRITE ${TO} "${text}")
file(REMOVE ${FROM})
