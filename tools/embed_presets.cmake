# Writes samples/models/*.json as C++ strings.
#   cmake -DOUTPUT=presets.cpp -DINPUTS="a.json;b.json" -P embed_presets.cmake
set(rows "")
foreach(file IN LISTS INPUTS)
    get_filename_component(name ${file} NAME_WE)
    file(READ ${file} text)
    string(APPEND rows "    {\"${name}\", R\"json(${text})json\"},\n")
endforeach()
file(WRITE ${OUTPUT} "// Generated from samples/models/ by tools/embed_presets.cmake.
#include \"vae/presets.hpp\"

namespace vkvae {
namespace {
const Preset kTable[] = {
${rows}};
} // namespace
const std::span<const Preset> kPresets = kTable;
} // namespace vkvae
")
