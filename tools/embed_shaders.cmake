# Writes the compiled shaders as one C++ file: arrays of words and the table that find_shader() looks into.
#   cmake -DOUTPUT=shaders.cpp -DINPUTS="a.spv;b.spv" -P embed_shaders.cmake
set(arrays "")
set(table "")
foreach(file IN LISTS INPUTS)
    get_filename_component(name ${file} NAME_WE)
    file(READ ${file} hex HEX)
    # SPIR-V is little-endian words; the hex dump is bytes in file order.
    string(REGEX REPLACE "(..)(..)(..)(..)" "0x\\4\\3\\2\\1," words "${hex}")
    string(APPEND arrays "constexpr uint32_t ${name}_words[] = {${words}};\n")
    string(APPEND table "    {\"${name}\", ${name}_words},\n")
endforeach()
file(WRITE ${OUTPUT}.new "// Generated from shaders/ by tools/embed_shaders.cmake.
#include \"vkvae/gpu.hpp\"

namespace vkvae {
namespace {
${arrays}} // namespace

extern const Shader kEmbeddedShaders[];
extern const size_t kEmbeddedShaderCount;
const Shader kEmbeddedShaders[] = {
${table}};
const size_t kEmbeddedShaderCount = sizeof(kEmbeddedShaders) / sizeof(kEmbeddedShaders[0]);

} // namespace vkvae
")
file(RENAME ${OUTPUT}.new ${OUTPUT})
