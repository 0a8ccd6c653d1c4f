# Cross-building for arm64, against packages that tools/sysroot.sh has unpacked: cmake -DCMAKE_TOOLCHAIN_FILE=cmake/arm64.cmake -DSYSROOT=DIR
# Debian's gcc-aarch64-linux-gnu and qemu-user-static: what generates sources, and tests, are run by the latter.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES SYSROOT)
if(NOT SYSROOT)
  message(FATAL_ERROR "-DSYSROOT=DIR: a folder that tools/sysroot.sh arm64 has made")
endif()
set(CMAKE_SYSROOT ${SYSROOT})
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
find_program(QEMU_ARM64 qemu-aarch64-static REQUIRED)
set(CMAKE_CROSSCOMPILING_EMULATOR ${QEMU_ARM64} -L ${SYSROOT})
