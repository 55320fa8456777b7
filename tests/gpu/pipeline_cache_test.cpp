// The contract of the pipeline cache on disk: what this device and driver wrote is used, anything else is ignored.
#include "gpu/pipeline_cache.hpp"
#include "gpu/sample_plan.hpp"
#include "io/temp_folder.hpp"

#include <fstream>

using namespace vkvae;
using namespace vkvae::test;

namespace {

Caps some_caps() {
    Caps caps;
    caps.vendor_id = 1;
    caps.device_id = 2;
    caps.driver_version = 3;
    for (uint8_t i = 0; i < VK_UUID_SIZE; i++)
        caps.cache_uuid[i] = i;
    return caps;
}

} // namespace

TEST_CASE("a stored cache comes back, and one with any byte changed does not") {
    TempFolder folder;
    Caps caps = some_caps();
    std::string file = pipeline_cache_file((folder.path / "new" / "folder").string(), caps);
    std::vector<std::byte> blob = to_bytes(std::string(1000, 'x') + "the driver's");
    store_pipeline_cache(file, caps, blob);
    CHECK(load_pipeline_cache(file, caps) == blob);
    std::vector<std::byte> bytes = read_file(file, 1 << 20);
    size_t accepted = 0;
    for (size_t i = 0; i < bytes.size(); i++) {
        std::vector<std::byte> broken = bytes;
        broken[i] ^= std::byte(1u << i % 8);
        std::ofstream(file, std::ios::binary).write(reinterpret_cast<const char*>(broken.data()), long(broken.size()));
        accepted += !load_pipeline_cache(file, caps).empty();
    }
    for (size_t size = 0; size < bytes.size(); size += size < 100 ? 1 : 97) {
        std::ofstream(file, std::ios::binary).write(reinterpret_cast<const char*>(bytes.data()), long(size));
        accepted += !load_pipeline_cache(file, caps).empty();
    }
    CHECK(accepted == 0);
    std::ofstream(file, std::ios::binary | std::ios::app) << "more";
    CHECK(load_pipeline_cache(file, caps).empty());
}

TEST_CASE("the cache of another device, driver or build is ignored, and so is one that is not there") {
    TempFolder folder;
    Caps caps = some_caps();
    std::string file = (folder.path / "cache").string();
    CHECK(load_pipeline_cache(file, caps).empty());
    CHECK(load_pipeline_cache(folder.path.string(), caps).empty()); // a directory
    store_pipeline_cache(file, caps, to_bytes("blob"));
    for (int field = 0; field < 4; field++) {
        Caps other = caps;
        (field == 0 ? other.vendor_id : field == 1 ? other.device_id : other.driver_version) += field < 3;
        other.cache_uuid[15] ^= field == 3;
        CHECK(load_pipeline_cache(file, other).empty());
    }
    CHECK(pipeline_cache_file("here", caps) != pipeline_cache_file("here", test_device().caps()));
}

TEST_CASE("a cache that cannot be written is an error") {
    TempFolder folder;
    std::ofstream(folder.path / "file") << "in the way";
    std::string file = (folder.path / "file" / "cache").string();
    CHECK(outcome_of([&] { store_pipeline_cache(file, some_caps(), {}); }).status == Status::runtime);
}

TEST_CASE("a device starts from its cache, and from a spoilt one as if there were none") {
    TempFolder folder;
    DeviceOptions options = test_options();
    options.cache_dir = folder.path.string();
    std::vector<float> expected;
    {
        std::unique_ptr<Device> device = Device::create(options);
        device->save_pipeline_cache();
        CHECK(folder.entries() == 0); // nothing was compiled
        expected = run_sample_network(*device);
        device->save_pipeline_cache();
        CHECK(folder.entries() == 1);
    }
    for (bool spoilt : {false, true}) {
        std::unique_ptr<Device> device = Device::create(options);
        CHECK(bits_of(run_sample_network(*device)) == bits_of(expected));
        std::string file = pipeline_cache_file(options.cache_dir, device->caps());
        CHECK(std::filesystem::exists(file));
        if (!spoilt)
            std::ofstream(file, std::ios::binary | std::ios::in | std::ios::out).seekp(80) << "spoilt";
    }
}
