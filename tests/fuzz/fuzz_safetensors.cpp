// libFuzzer target: any bytes either are a safetensors file, whose tensors can be used, or give Error(data).
#include "io/safetensors.hpp"
#include "vkvae/error.hpp"

#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
    const std::byte* bytes = reinterpret_cast<const std::byte*>(data);
    for (const vkvae::TrailingBytes trailing : {vkvae::TrailingBytes::refuse, vkvae::TrailingBytes::allow}) {
        try {
            const vkvae::SafetensorsFile file = vkvae::parse_safetensors({bytes, bytes + size}, "fuzz", trailing);
            for (const vkvae::TensorEntry& tensor : file.tensors) {
                if (file.find(tensor.name) != &tensor || tensor.data.size() > size)
                    std::abort();
                if (tensor.dtype.find('F') != std::string::npos && !tensor.dtype.starts_with("F8"))
                    vkvae::to_f32(tensor);
            }
        } catch (const vkvae::Error& error) {
            if (error.status() != vkvae::Status::data)
                std::abort();
        }
    }
    return 0;
}
