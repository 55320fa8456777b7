// Products of sizes that a file claims: checked in 64 bits before anything is allocated.
#pragma once

#include <cstdint>
#include <initializer_list>

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

} // namespace vkvae
