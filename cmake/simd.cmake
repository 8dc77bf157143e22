# manyscale_add_kernels(<target> <operation>): compiles native/ops/<operation>/cpu.cc once per instruction set. The file's
# kernels stand in the namespace that MANYSCALE_ISA names and have internal linkage apart from one table of functions, so
# that no inline function compiled for a newer processor can replace its baseline copy at link time. native/core/isa.h has the
# same instruction sets; where the two differ, nothing links.
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64)$")
  set(MANYSCALE_ISAS neon)
else()
  set(MANYSCALE_ISAS baseline)
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
    list(APPEND MANYSCALE_ISAS avx2 avx512)
  endif()
endif()
set(MANYSCALE_FLAGS_avx2 -mavx2 -mfma -mf16c)
set(MANYSCALE_FLAGS_avx512 -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx2 -mfma -mf16c -mprefer-vector-width=512)
# pool gives the same bits on every processor: no fused multiply-adds.
set(MANYSCALE_OPTIONS_pool -ffp-contract=off)

function(manyscale_add_kernels target operation)
  foreach(isa IN LISTS MANYSCALE_ISAS)
    set(name manyscale_${operation}_${isa})
    add_library(${name} OBJECT native/ops/${operation}/cpu.cc)
    target_include_directories(${name} PRIVATE native)
    target_compile_definitions(${name} PRIVATE MANYSCALE_ISA=${isa})
    target_compile_options(${name} PRIVATE -O3 ${MANYSCALE_FLAGS_${isa}} ${MANYSCALE_OPTIONS_${operation}})
    manyscale_warnings(${name})
    target_sources(${target} PRIVATE $<TARGET_OBJECTS:${name}>)
  endforeach()
endfunction()
