# Kernels for NVIDIA GPUs: native/ops/<operation>/cuda.cu -> one fatbin per operation, embedded in the target (native/device/cuda/kernels.h),
# with its PTX kept beside it for the software device of the tests.
#
# MANYSCALE_CUDA: AUTO builds them where nvcc is, ON demands it, OFF leaves them out: the addon then says that it has none. The environment
# variable MANYSCALE_REQUIRE_NVCC=1 makes AUTO demand it too.
set(MANYSCALE_CUDA AUTO CACHE STRING "Kernels for NVIDIA GPUs: AUTO (where nvcc is), ON or OFF")

# Machine code for Turing, Ampere (data centre, desktop, Orin), Ada, Hopper, Blackwell (data centre, Thor, desktop), as far as nvcc knows them.
set(MANYSCALE_CUDA_TARGETS 75 80 86 87 89 90 100 110 120)
# The last image is PTX, for GPUs that came later. Its version is lowered, so that older drivers than the toolkit's take it.
set(MANYSCALE_PTX_TARGET 75)
set(MANYSCALE_PTX_VERSION 6.3)
# pool gives the CPU's bits: no fused multiply-adds.
set(MANYSCALE_NVCC_FLAGS_pool -fmad=false)

function(manyscale_add_cuda target)
  set(operations "")
  if(NOT MANYSCALE_CUDA STREQUAL "OFF")
    find_program(MANYSCALE_NVCC nvcc HINTS $ENV{CUDA_HOME}/bin $ENV{CUDA_PATH}/bin /usr/local/cuda/bin)
    if(MANYSCALE_NVCC)
      get_filename_component(real ${MANYSCALE_NVCC} REALPATH)
      get_filename_component(folder ${real} DIRECTORY)
      find_program(MANYSCALE_FATBINARY fatbinary HINTS ${folder})
      file(GLOB sources CONFIGURE_DEPENDS native/ops/*/cuda.cu)
      foreach(source IN LISTS sources)
        get_filename_component(operation ${source} DIRECTORY)
        get_filename_component(operation ${operation} NAME)
        list(APPEND operations ${operation})
      endforeach()
    elseif(MANYSCALE_CUDA STREQUAL "ON" OR "$ENV{MANYSCALE_REQUIRE_NVCC}" STREQUAL "1")
      message(FATAL_ERROR "nvcc is demanded (MANYSCALE_CUDA=ON or MANYSCALE_REQUIRE_NVCC=1) but was not found: put it on PATH or set CUDA_HOME")
    endif()
  endif()
  if(operations)
    execute_process(COMMAND ${MANYSCALE_NVCC} --list-gpu-code OUTPUT_VARIABLE known OUTPUT_STRIP_TRAILING_WHITESPACE)
    message(STATUS "Kernels for NVIDIA GPUs: ${operations}, by ${MANYSCALE_NVCC}")
  else()
    message(STATUS "Kernels for NVIDIA GPUs: none")
  endif()

  set(folder ${CMAKE_CURRENT_BINARY_DIR}/cuda)
  file(MAKE_DIRECTORY ${folder})
  set(declarations "")
  set(entries "")
  foreach(operation IN LISTS operations)
    set(source ${CMAKE_CURRENT_SOURCE_DIR}/native/ops/${operation}/cuda.cu)
    file(GLOB headers CONFIGURE_DEPENDS native/core/*.h native/ops/${operation}/*.h)
    set(flags -std=c++17 -O3 -I ${CMAKE_CURRENT_SOURCE_DIR}/native ${MANYSCALE_NVCC_FLAGS_${operation}})
    set(images "")
    set(depends "")
    foreach(code IN LISTS MANYSCALE_CUDA_TARGETS)
      if(known MATCHES "sm_${code}(\n|$)")
        set(cubin ${folder}/${operation}.sm_${code}.cubin)
        add_custom_command(OUTPUT ${cubin} DEPENDS ${source} ${headers} VERBATIM COMMENT "nvcc ${operation} sm_${code}"
          COMMAND ${MANYSCALE_NVCC} ${flags} -cubin -arch=sm_${code} -o ${cubin} ${source})
        list(APPEND images --image3=kind=elf,sm=${code},file=${cubin})
        list(APPEND depends ${cubin})
      endif()
    endforeach()
    set(ptx ${folder}/${operation}.ptx)
    add_custom_command(OUTPUT ${ptx} DEPENDS ${source} ${headers} ${CMAKE_CURRENT_SOURCE_DIR}/cmake/lower_ptx.cmake VERBATIM COMMENT "nvcc ${operation} PTX"
      COMMAND ${MANYSCALE_NVCC} ${flags} -ptx -arch=compute_${MANYSCALE_PTX_TARGET} -o ${ptx}.new ${source}
      COMMAND ${CMAKE_COMMAND} -DFROM=${ptx}.new -DTO=${ptx} -DVERSION=${MANYSCALE_PTX_VERSION} -P ${CMAKE_CURRENT_SOURCE_DIR}/cmake/lower_ptx.cmake)
    set(fatbin ${folder}/${operation}.fatbin)
    # Not compressed: the software device of the tests reads the PTX in it.
    add_custom_command(OUTPUT ${fatbin} DEPENDS ${depends} ${ptx} VERBATIM COMMENT "fatbinary ${operation}"
      COMMAND ${MANYSCALE_FATBINARY} -64 --create=${fatbin} --compress=false ${images} --image3=kind=ptx,sm=${MANYSCALE_PTX_TARGET},file=${ptx})
    list(APPEND fatbins ${fatbin})
    list(APPEND all_ptx ${ptx})
    string(APPEND declarations "__asm__(\".section .rodata\\n.balign 64\\nmanyscale_fatbin_${operation}:\\n.incbin \\\"${fatbin}\\\"\\n.byte 0\\n.previous\\n\");\n"
      "extern \"C\" __attribute__((visibility(\"hidden\"))) const char manyscale_fatbin_${operation}[];\n")
    string(APPEND entries "    {\"${operation}\", manyscale_fatbin_${operation}},\n")
  endforeach()
  list(LENGTH operations count)
  configure_file(cmake/kernels.cc.in ${folder}/kernels.cc @ONLY)
  if(fatbins)
    add_custom_target(manyscale_ptx DEPENDS ${all_ptx})
    set_source_files_properties(${folder}/kernels.cc PROPERTIES OBJECT_DEPENDS "${fatbins}")
  endif()
  target_sources(${target} PRIVATE ${folder}/kernels.cc)
endfunction()
