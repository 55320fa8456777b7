// The stack of rANS, and frequency tables.
#include "latent/ans.hpp"

#include <algorithm>
#include <cmath>

#include "dataset/hash.hpp"
#include "vkvae/error.hpp"

namespace vkvae {

AnsStack::AnsStack(std::vector<uint32_t> words, const std::string& name) : name_(name) {
    require_data(words.size() >= 2, name, ": the coded data are too short");
    head_ = words[0] | uint64_t(words[1]) << 32;
    require_data(head_ >= kLow && head_ < kLow << 32, name, ": the coded data are damaged");
    tail_.assign(words.rbegin(), words.rend() - 2); // the words next in turn come last
}

AnsStack AnsStack::with_random_bits(uint64_t seed) {
    AnsStack stack;
    stack.invents_ = true;
    stack.random_ = seed;
    // An empty stack would give the first symbol of every table at first.
    stack.head_ = uint64_t(1) << 62 | mix_bits(stack.random_++) >> 2;
    stack.invented_ = 31;
    return stack;
}

void AnsStack::push(uint32_t start, uint32_t frequency, int bits) {
    require(bits > 0 && bits <= 31 && frequency > 0 && uint64_t(start) + frequency <= uint64_t(1) << bits,
            "a symbol with the share ", start, " + ", frequency, " of 2^", bits);
    if (head_ >= ((kLow >> bits) << 32) * frequency) {
        tail_.push_back(uint32_t(head_));
        head_ >>= 32;
    }
    head_ = ((head_ / frequency) << bits) + head_ % frequency + start;
}

void AnsStack::pop(uint32_t start, uint32_t frequency, int bits) {
    uint32_t at = top(bits);
    require(frequency > 0 && at >= start && at - start < frequency, "the top of the stack, ", at, ", is not in ", start,
            " + ", frequency);
    head_ = frequency * (head_ >> bits) + at - start;
    if (head_ >= kLow)
        return;
    uint32_t word = 0;
    if (!tail_.empty()) {
        word = tail_.back();
        tail_.pop_back();
    } else {
        require_data(invents_, name_, ": the coded data end too early");
        word = uint32_t(mix_bits(random_++) >> 32);
        invented_ += 32;
    }
    head_ = head_ << 32 | word;
}

std::vector<uint32_t> AnsStack::words() const {
    std::vector<uint32_t> words = {uint32_t(head_), uint32_t(head_ >> 32)};
    words.insert(words.end(), tail_.rbegin(), tail_.rend());
    return words;
}

double AnsStack::bits() const {
    return 32 * double(tail_.size()) + std::log2(double(head_)) - 31;
}

double FrequencyTable::cost(int64_t symbol) const {
    return kAnsBits - std::log2(double(starts[size_t(symbol) + 1] - starts[size_t(symbol)]));
}

FrequencyTable make_table(std::span<const double> weights) {
    constexpr uint32_t kTotal = uint32_t(1) << kAnsBits;
    require(!weights.empty() && weights.size() < kTotal / 2, "a table of ", weights.size(), " symbols");
    double sum = 0;
    for (double weight : weights) {
        require(weight >= 0 && std::isfinite(weight), "a symbol has the probability ", weight);
        sum += weight;
    }
    require(sum > 0, "no symbol has a probability");
    // One for each, the rest in proportion. Rounding cumulated sums keeps them in order and their total exact.
    double rest = double(kTotal - uint32_t(weights.size())), cumulated = 0;
    FrequencyTable table;
    table.starts.push_back(0);
    for (size_t i = 0; i < weights.size(); i++) {
        cumulated += weights[i];
        double share = i + 1 == weights.size() ? rest : std::min(std::floor(rest * (cumulated / sum) + 0.5), rest);
        table.starts.push_back(uint32_t(share) + uint32_t(i) + 1);
    }
    return table;
}

void push_symbol(AnsStack& stack, const FrequencyTable& table, int64_t symbol) {
    require(symbol >= 0 && symbol < table.count(), "symbol ", symbol, " of ", table.count());
    uint32_t start = table.starts[size_t(symbol)];
    stack.push(start, table.starts[size_t(symbol) + 1] - start, kAnsBits);
}

int64_t pop_symbol(AnsStack& stack, const FrequencyTable& table) {
    auto after = std::upper_bound(table.starts.begin(), table.starts.end(), stack.top(kAnsBits));
    require(after != table.starts.end(), "a frequency table does not add up");
    stack.pop(after[-1], *after - after[-1], kAnsBits);
    return after - table.starts.begin() - 1;
}

} // namespace vkvae
