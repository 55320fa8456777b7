// The house rule of the source tree: io <- gpu <- graph <- ops <- vae. A file includes its own folder and those to its
// left; <vkvae/...> headers belong to the layer of their name.
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace fs = std::filesystem;

namespace {

const std::vector<std::string> kLayers = {"io", "gpu", "graph", "ops", "vae"};

// Position in kLayers; -1 if the name is not that of a layer.
int layer_of(const std::string& name) {
    auto found = std::find(kLayers.begin(), kLayers.end(), name);
    return found == kLayers.end() ? -1 : int(found - kLayers.begin());
}

std::vector<std::string> includes_of(const fs::path& file) {
    std::vector<std::string> includes;
    std::ifstream in(file);
    for (std::string line; std::getline(in, line);) {
        const std::string begin = "#include \"";
        if (line.starts_with(begin))
            includes.push_back(line.substr(begin.size(), line.find('"', begin.size()) - begin.size()));
    }
    return includes;
}

// The layer that an include line reaches into; -1 if into none.
int layer_of_include(const std::string& include) {
    size_t slash = include.find('/');
    std::string folder = include.substr(0, slash);
    if (folder == "vkvae" && slash != std::string::npos)
        return layer_of(fs::path(include).stem().string());
    return layer_of(folder);
}

} // namespace

TEST_CASE("every file of runtime/ includes its own layer and those below it, and nothing else") {
    const fs::path runtime = fs::path(VKVAE_SOURCE_DIR) / "runtime";
    int files = 0, lines = 0;
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(runtime)) {
        fs::path inside = fs::relative(entry.path(), runtime);
        bool header = *inside.begin() == "include"; // runtime/include/vkvae/gpu.hpp belongs to gpu
        int layer = layer_of(header ? inside.stem().string() : inside.begin()->string());
        if (!entry.is_regular_file() || layer < 0)
            continue; // error.hpp, and the C API, which may use everything
        files++;
        for (const std::string& include : includes_of(entry.path())) {
            INFO(inside.string(), " includes ", include);
            lines++;
            CHECK(layer_of_include(include) <= layer);
            CHECK((include.starts_with("vkvae/") || layer_of_include(include) >= 0 || include == "nlohmann/json.hpp"));
            CHECK(!(header && !include.starts_with("vkvae/"))); // public headers stand on public headers
        }
    }
    CHECK(files > 40);
    CHECK(lines > 80);
}

TEST_CASE("shaders include only shaders/common") {
    const fs::path shaders = fs::path(VKVAE_SOURCE_DIR) / "shaders";
    int files = 0;
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(shaders)) {
        if (entry.path().extension() != ".comp" && entry.path().extension() != ".glsl")
            continue;
        files++;
        for (const std::string& include : includes_of(entry.path())) {
            INFO(entry.path().filename().string(), " includes ", include);
            CHECK(include.starts_with("common/"));
            CHECK(fs::exists(shaders / include));
        }
    }
    CHECK(files > 30);
}
