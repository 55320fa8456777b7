// Products of sizes that a file claims: checked in 64 bits before anything is allocated.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>

namespace vkvae {

// False when the product would pass `limit`; then `product` is meaningless.
inline bool product_within(std::initializer_list<std::uint64_t> factors, std::uint64_t limit, std::uint64_t& product) {
    product = 1;
    for (const std::uint64_t factor : factors) {
        if (factor != 0 && product > limit / factor)
            return false;
        product *= factor;
    }
    return product <= limit;
}

// Bytes of an array. A zero among the sizes makes it 0, but the others must still have a product that fits, for whoever
// multiplies them in another order later.
inline bool shape_bytes(std::uint64_t item, std::span<const std::int64_t> shape, std::uint64_t limit,
                        std::uint64_t& bytes) {
    bool empty = false;
    for (const std::int64_t n : shape) {
        if (n < 0)
            return false;
        empty = empty || n == 0;
    }
    const std::uint64_t most = empty ? std::uint64_t{1} << 62 : limit;
    bytes = item;
    for (const std::int64_t n : shape)
        if (n != 0 && !product_within({bytes, static_cast<std::uint64_t>(n)}, most, bytes))
            return false;
    bytes = empty ? 0 : bytes;
    return bytes <= limit;
}

} // namespace vkvae
