// Three small data sets that are no pictures, drawn on demand: counts of genes, shopping baskets, sentences. Integers only,
// so that they are the same on every machine. No seed goes in: each is one data set.
//
//   genes      (N, 48) counts of six kinds of cells. A gene's counts are negative binomial: failures before two successes,
//              of the mean m where m / (m + 2) is the probability of a failure. A quarter of the genes, others for every
//              kind, are eight times as active. Labels: the kind.
//   baskets    (N, 60) how many of each product, 10 to 29 together. Products come in five groups of twelve; a customer buys
//              from two of them, in a proportion of his own, popular products more often, and one in eight by whim.
//              Labels: the group bought more from.
//   sentences  (N, 20) tokens: a space, and a to z as 1 to 26. "owl sees the bird", "goats help the cow": 768 sentences,
//              in which the verb's s is missing where the subject has one.
#include "dataset/hash.hpp"
#include "dataset/sources.hpp"
#include "vkvae/error.hpp"

#include <algorithm>
#include <array>
#include <charconv>

namespace vkvae {

namespace {

constexpr std::int64_t kDefaultTrain = 4096, kMaxTrain = 1'000'000, kTrainPerTest = 8;

// Random integers: a stream for each sample.
struct Draws {
    std::uint64_t key, count = 0;
    std::uint32_t below(std::uint32_t bound) { // a bias of bound / 2^32
        return static_cast<std::uint32_t>((mix_bits(key + mix_bits(count++)) >> 32) * bound >> 32);
    }
};

std::uint8_t draw_genes(Draws& draws, std::span<float> out) {
    const std::uint32_t kind = draws.below(6);
    for (std::uint32_t gene = 0; gene < out.size(); ++gene) {
        const bool active = mix_bits(100 + gene * 6 + kind) % 4 == 0;
        const std::uint32_t mean = (1 + static_cast<std::uint32_t>(mix_bits(gene) % 6)) * (active ? 8 : 1);
        int failures = 0;
        for (int successes = 0; successes < 2;)
            if (draws.below(mean + 2) < 2)
                ++successes;
            else
                ++failures;
        out[gene] = static_cast<float>(failures);
    }
    return static_cast<std::uint8_t>(kind);
}

std::uint8_t draw_basket(Draws& draws, std::span<float> out) {
    constexpr std::uint32_t kGroups = 5, kEach = 12, kWeights = kEach * (kEach + 1) / 2;
    const std::uint32_t one = draws.below(kGroups), other = (one + 1 + draws.below(kGroups - 1)) % kGroups;
    const std::uint32_t share = draws.below(9); // of eight
    for (std::uint32_t left = 10 + draws.below(20); left > 0; --left) {
        if (draws.below(8) == 0) {
            ++out[draws.below(kGroups * kEach)];
            continue;
        }
        std::uint32_t product = 0, rest = draws.below(kWeights); // weights 12, 11, ... 1
        for (; rest >= kEach - product; ++product)
            rest -= kEach - product;
        ++out[(draws.below(8) < share ? one : other) * kEach + product];
    }
    return static_cast<std::uint8_t>(share >= 4 ? one : other);
}

std::uint8_t draw_sentence(Draws& draws, std::span<float> out) {
    constexpr std::array<std::string_view, 8> kNouns = {"hen", "cow", "pig", "bee", "goat", "owl", "frog", "bird"};
    constexpr std::array<std::string_view, 6> kVerbs = {"see", "hear", "meet", "like", "call", "help"};
    const bool plural = draws.below(2) == 1;
    std::string text(kNouns[draws.below(kNouns.size())]);
    text += plural ? "s " : " ";
    text += kVerbs[draws.below(kVerbs.size())];
    text += plural ? " the " : "s the ";
    text += kNouns[draws.below(kNouns.size())];
    for (std::size_t i = 0; i < text.size(); ++i)
        out[i] = static_cast<float>(text[i] == ' ' ? 0 : text[i] - 'a' + 1);
    return 0;
}

struct Table {
    std::string_view name;
    int width;
    bool labelled;
    std::uint8_t (*draw)(Draws& draws, std::span<float> out); // of zeros; returns the label
};
constexpr Table kTables[] = {
    {"genes", 48, true, draw_genes},
    {"baskets", 60, true, draw_basket},
    {"sentences", 20, false, draw_sentence},
};

// The row whose name begins "NAME" or "NAME:N", or none.
const Table* find_table(std::string_view source) {
    for (const Table& table : kTables)
        if (source == table.name || (source.starts_with(table.name) && source.substr(table.name.size()).starts_with(':')))
            return &table;
    return nullptr;
}

} // namespace

bool accepts_tables(const std::string& source) {
    return find_table(source) != nullptr;
}

Dataset load_tables(const DatasetRequest& request) {
    const Table& table = *find_table(request.source);
    std::int64_t train = kDefaultTrain;
    if (request.source.size() > table.name.size()) {
        const char* end = request.source.data() + request.source.size();
        const auto [at, code] = std::from_chars(request.source.data() + table.name.size() + 1, end, train);
        if (code != std::errc() || at != end || train < 1 || train > kMaxTrain)
            fail(Status::usage, "'", request.source, "': N in ", table.name, ":N must be 1 to ", kMaxTrain);
    }
    const bool is_test = request.split == "test";
    std::int64_t count = is_test ? std::max<std::int64_t>(1, train / kTrainPerTest) : train;
    if (request.limit > 0)
        count = std::min(count, request.limit); // their order is random already

    Dataset dataset;
    dataset.name = table.name;
    dataset.count = count;
    dataset.height = dataset.channels = 1;
    dataset.width = table.width;
    dataset.flat = true;
    dataset.type = PixelType::f32;
    std::vector<float> values(static_cast<std::size_t>(count * table.width));
    for (std::int64_t i = 0; i < count; ++i) {
        Draws draws{.key = mix_bits(hash_text(table.name) ^ static_cast<std::uint64_t>(2 * i + (is_test ? 1 : 0)))};
        const auto row = std::span(values).subspan(static_cast<std::size_t>(i * table.width),
                                                   static_cast<std::size_t>(table.width));
        const std::uint8_t label = table.draw(draws, row);
        if (table.labelled)
            dataset.labels.push_back(label);
    }
    const std::span<const std::byte> bytes = std::as_bytes(std::span(values));
    dataset.pixels.assign(bytes.begin(), bytes.end());
    return dataset;
}

} // namespace vkvae
