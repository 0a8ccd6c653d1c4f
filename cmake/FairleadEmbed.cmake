# embed(NAME FILE...): YAML documents as the bytes of an array, in generated/NAME, which is made anew when a file changes.
function(embed name)
  set(hex "")
  foreach(file IN LISTS ARGN)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
    file(READ ${file} one HEX)
    string(APPEND hex "${one}0a2d2d2d0a") # a line of ---
  endforeach()
  string(REGEX REPLACE "(..)" "0x\\1," bytes "${hex}")
  get_filename_component(dir ${CMAKE_BINARY_DIR}/generated/${name} DIRECTORY)
  file(MAKE_DIRECTORY ${dir})
  file(WRITE ${CMAKE_BINARY_DIR}/generated/${name}.new "${bytes}\n")
  file(COPY_FILE ${CMAKE_BINARY_DIR}/generated/${name}.new ${CMAKE_BINARY_DIR}/generated/${name} ONLY_IF_DIFFERENT)
endfunction()
