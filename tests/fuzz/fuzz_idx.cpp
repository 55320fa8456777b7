// libFuzzer target: any bytes either are one u8 IDX array, raw or gzip, or give Error(data).
#include "dataset/sources.hpp"
#include "vkvae/error.hpp"

#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
    const std::byte* bytes = reinterpret_cast<const std::byte*>(data);
    try {
        const vkvae::IdxArray array = vkvae::parse_idx({bytes, bytes + size}, "fuzz");
        std::size_t product = 1;
        for (const std::int64_t n : array.shape)
            product *= static_cast<std::size_t>(n);
        if (product != array.data.size())
            std::abort();
    } catch (const vkvae::Error& error) {
        if (error.status() != vkvae::Status::data)
            std::abort();
    }
    return 0;
}
