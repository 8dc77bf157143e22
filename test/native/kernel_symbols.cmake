# cmake -DNM=nm -DOBJECT=cpu.cc.o -P kernel_symbols.cmake
# A kernel object is compiled for one instruction set; its table must be all that the linker can see of it. A weak symbol
# (an inline function or a template of a header) could become the copy that every other file calls, on any processor.
execute_process(COMMAND ${NM} --defined-only --extern-only ${OBJECT} OUTPUT_VARIABLE symbols RESULT_VARIABLE failed)
if(failed)
  message(FATAL_ERROR "${NM} could not read ${OBJECT}")
endif()
string(REGEX REPLACE "\n$" "" symbols "${symbols}")
string(REPLACE "\n" ";" symbols "${symbols}")
list(LENGTH symbols count)
if(NOT count EQUAL 1 OR NOT symbols MATCHES "^[0-9a-f]+ [DR] .*kKernels")
  message(FATAL_ERROR "Expected one visible symbol, the table kKernels, in ${OBJECT} but received ${symbols}")
endif()
