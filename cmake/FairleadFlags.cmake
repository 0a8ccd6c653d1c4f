# Compiler flags of every target. SANITIZE=address adds ASan + UBSan; FUZZ=ON builds libFuzzer targets.
option(SANITIZE "address: ASan + UBSan; thread: TSan; empty: none" "")
option(FUZZ "build the libFuzzer drivers (clang)" OFF)
option(WERROR "warnings are errors" ON)
set(CMAKE_C_STANDARD 17)
set(CMAKE_C_EXTENSIONS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE RelWithDebInfo)
endif()
set(CMAKE_C_FLAGS_RELWITHDEBINFO "-O2 -g")

add_compile_definitions(_GNU_SOURCE FAIRLEAD_VERSION="${PROJECT_VERSION}")
add_compile_options(
  -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion -Wstrict-prototypes -Wmissing-prototypes
  -Wold-style-definition -Wundef -Wvla -Wformat=2 -Wwrite-strings -Wcast-qual -Wcast-align
  -Wpointer-arith -Wimplicit-fallthrough -Wswitch-enum
  -fstack-protector-strong -fstack-clash-protection -fno-common -fno-strict-aliasing
  -fno-omit-frame-pointer -ffunction-sections -fdata-sections)
if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
  add_compile_options(-Wduplicated-cond -Wlogical-op -Wno-format-truncation)
else()
  add_compile_options(-Wthread-safety)
endif()
if(WERROR)
  add_compile_options(-Werror)
endif()
add_link_options(-pie -Wl,-z,relro,-z,now -Wl,--gc-sections -Wl,--as-needed)
if(SANITIZE STREQUAL "address")
  add_compile_options(-fsanitize=address,undefined -fno-sanitize-recover=undefined -O1)
  add_link_options(-fsanitize=address,undefined)
elseif(SANITIZE STREQUAL "thread")
  add_compile_options(-fsanitize=thread)
  add_link_options(-fsanitize=thread)
else()
  add_compile_definitions(_FORTIFY_SOURCE=2)
  # The same program wherever it is built: images are compared by their digests.
  add_compile_options(-ffile-prefix-map=${CMAKE_SOURCE_DIR}/=./ -ffile-prefix-map=${CMAKE_BINARY_DIR}=./build)
endif()
if(FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()
