// Grids, tables and the coding of latents.
#include "latent/latent_code.hpp"

#include <algorithm>
#include <cmath>

#include "latent/exact.hpp"
#include "vkvae/error.hpp"

namespace vkvae {
namespace {

constexpr int kIndices = 128, kLowest = -10, kEachOctave = 8;

int32_t largest_symbol(double step) {
    return int32_t(std::floor(kLatentRange / step + 0.5));
}

// Dimensions often share a grid, and a table takes a while.
std::vector<FrequencyTable> tables_of(std::span<const uint8_t> grids) {
    std::vector<FrequencyTable> tables(kIndices);
    for (uint8_t index : grids)
        if (tables[index].starts.empty())
            tables[index] = prior_table(index);
    return tables;
}

} // namespace

double grid_step(uint8_t index) {
    constexpr double kPowers[kEachOctave] = {1,
                                             1.0905077326652577,
                                             1.189207115002721,
                                             1.2968395546510096,
                                             1.4142135623730951,
                                             1.5422108254079407,
                                             1.681792830507429,
                                             1.8340080864093424}; // 2^(i/8), correctly rounded
    require(is_grid_index(index), "no grid has the number ", int(index));
    return std::ldexp(kPowers[index % kEachOctave], index / kEachOctave + kLowest);
}

uint8_t grid_index(double step) {
    require(step > 0, "a grid has the step ", step);
    double index = std::floor((std::log2(step) - kLowest) * kEachOctave + 0.5);
    return uint8_t(std::clamp(index, 0.0, double(kIndices - 1)));
}

bool is_grid_index(uint8_t index) {
    return index < kIndices;
}

FrequencyTable prior_table(uint8_t index) {
    double step = grid_step(index);
    int32_t most = largest_symbol(step);
    std::vector<double> weights;
    double below = 0; // the ends take the tails
    for (int32_t k = -most; k <= most; k++) {
        double above = k == most ? 1 : normal_cdf(step * (k + 0.5));
        weights.push_back(std::max(above - below, 0.0)); // rounding may leave -1e-17 in the tails
        below = above;
    }
    return make_table(weights);
}

std::vector<int32_t> quantise(std::span<const float> z, std::span<const uint8_t> grids) {
    std::vector<int32_t> k(z.size());
    for (size_t i = 0; i < z.size(); i++) {
        require(std::isfinite(z[i]), "a latent is not finite");
        double step = grid_step(grids[i % grids.size()]), most = largest_symbol(step);
        k[i] = int32_t(std::clamp(std::floor(double(z[i]) / step + 0.5), -most, most));
    }
    return k;
}

std::vector<float> dequantise(std::span<const int32_t> k, std::span<const uint8_t> grids) {
    std::vector<float> z(k.size());
    for (size_t i = 0; i < k.size(); i++)
        z[i] = float(k[i] * grid_step(grids[i % grids.size()]));
    return z;
}

std::vector<uint32_t> encode_latents(std::span<const int32_t> k, std::span<const uint8_t> grids) {
    std::vector<FrequencyTable> tables = tables_of(grids);
    AnsStack stack;
    for (size_t i = k.size(); i-- > 0;) { // backwards, so that decoding goes forwards
        const FrequencyTable& table = tables[grids[i % grids.size()]];
        push_symbol(stack, table, k[i] + table.count() / 2);
    }
    return stack.words();
}

std::vector<int32_t> decode_latents(std::vector<uint32_t> words, int64_t count, std::span<const uint8_t> grids,
                                    const std::string& name) {
    for (uint8_t index : grids)
        require_data(is_grid_index(index), name, ": there is no grid ", int(index));
    std::vector<FrequencyTable> tables = tables_of(grids);
    AnsStack stack(std::move(words), name);
    std::vector<int32_t> k(size_t(count) * grids.size());
    for (size_t i = 0; i < k.size(); i++) {
        const FrequencyTable& table = tables[grids[i % grids.size()]];
        k[i] = int32_t(pop_symbol(stack, table) - table.count() / 2);
    }
    require_data(stack.empty(), name, ": more is coded than ", count, " samples");
    return k;
}

} // namespace vkvae
