// An entropy coder that is a stack: symbols come out in the reverse of the order in which they went in.
//
// rANS (Duda 2013, arXiv:1311.2540) with a head of 64 bits in [2^31, 2^63) and words of 32: pushing a symbol of
// frequency f out of 2^b, whose share of [0, 2^b) starts at s, maps x -> floor(x / f) 2^b + s + x mod f and so adds
// log2(2^b / f) bits; popping is the exact inverse. Popping a symbol under a distribution that it was never pushed
// under is what bits-back coding does (Townsend et al. 2019): it draws a sample, and the pushed-back symbol returns the
// bits. All integers: both ends agree on every machine.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace vkvae {

inline constexpr int kAnsBits = 24; // of frequencies, unless said otherwise

class AnsStack {
  public:
    AnsStack() = default;
    // What words() gave. Error(data), starting with `name`, if that cannot be.
    AnsStack(std::vector<uint32_t> words, const std::string& name);
    // A stack to begin bits-back coding with: what is missing is made up, and counted.
    static AnsStack with_random_bits(uint64_t seed);

    void push(uint32_t start, uint32_t frequency, int bits); // 0 < frequency, start + frequency <= 2^bits, bits <= 31
    uint32_t top(int bits) const {
        return uint32_t(head_ & ((uint64_t(1) << bits) - 1));
    }                                                       // where the symbol's share is
    void pop(uint32_t start, uint32_t frequency, int bits); // top() is in [start, start + frequency)
    std::vector<uint32_t> words() const;
    bool empty() const { return head_ == kLow && tail_.empty(); }
    double bits() const;                                // that the stack holds
    int64_t invented_bits() const { return invented_; } // of with_random_bits

  private:
    static constexpr uint64_t kLow = uint64_t(1) << 31;
    uint64_t head_ = kLow;
    std::vector<uint32_t> tail_;
    std::string name_ = "the coder";
    bool invents_ = false;
    uint64_t random_ = 0;
    int64_t invented_ = 0;
};

// Frequencies of symbols 0 .. n-1: symbol i has starts[i+1] - starts[i] > 0 of 2^kAnsBits.
struct FrequencyTable {
    std::vector<uint32_t> starts; // (n + 1)
    int64_t count() const { return int64_t(starts.size()) - 1; }
    double cost(int64_t symbol) const; // in bits
};
// In proportion to `weights`, non-negative with a positive sum; those that would get nothing get the least.
FrequencyTable make_table(std::span<const double> weights);

void push_symbol(AnsStack& stack, const FrequencyTable& table, int64_t symbol);
int64_t pop_symbol(AnsStack& stack, const FrequencyTable& table);

} // namespace vkvae
