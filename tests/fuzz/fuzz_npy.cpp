// libFuzzer target: any bytes either are a .npy array of exactly its claimed size or give Error(data).
#include "dataset/npy.hpp"
#include "vkvae/error.hpp"

#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
    const std::byte* bytes = reinterpret_cast<const std::byte*>(data);
    try {
        const vkvae::NpyArray array = vkvae::parse_npy({bytes, bytes + size}, "fuzz");
        if (array.data.size() > size)
            std::abort();
        vkvae::npy_to_f32(array, "fuzz");
    } catch (const vkvae::Error& error) {
        if (error.status() != vkvae::Status::data)
            std::abort();
    }
    return 0;
}
