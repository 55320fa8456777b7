// The contract of graph/schedule: what conflicts is ordered, what does not runs side by side; live blocks never overlap.
#include "graph/schedule.hpp"
#include "ops/philox.hpp"

#include <doctest/doctest.h>

using namespace vkvae;

namespace {

// Dispatches written down as "reads, writes", without shaders.
struct Program {
    std::vector<TensorInfo> tensors;
    std::vector<Dispatch> dispatches;
    std::vector<ShaderInterface> interfaces;

    Tensor tensor(int64_t count, bool external = true) {
        Tensor t = {uint32_t(tensors.size())};
        tensors.push_back({.name = concat_text("t", t.id), .shape = {count}, .storage = t, .external = external});
        return t;
    }
    Tensor view(Tensor of, uint64_t offset, int64_t count) {
        Tensor t = tensor(count);
        tensors[t.id].storage = of;
        tensors[t.id].offset = offset;
        return t;
    }
    void run(std::vector<Tensor> reads, std::vector<Tensor> writes) {
        Dispatch d;
        ShaderInterface interface;
        for (Tensor t : reads) {
            d.buffers.push_back(t);
            interface.bindings.push_back({.reads = true, .writes = false});
        }
        for (Tensor t : writes) {
            d.buffers.push_back(t);
            interface.bindings.push_back({.reads = false, .writes = true});
        }
        d.name = concat_text("kernel ", dispatches.size());
        dispatches.push_back(d);
        interfaces.push_back(interface);
    }
    Schedule schedule() const { return make_schedule(dispatches, interfaces, tensors); }
    // The level of each dispatch, in program order.
    std::vector<uint32_t> levels() const {
        Schedule s = schedule();
        std::vector<uint32_t> result(dispatches.size());
        for (uint32_t level = 0; level + 1 < s.level_begin.size(); level++)
            for (uint32_t at = s.level_begin[level]; at < s.level_begin[level + 1]; at++)
                result[s.order[at]] = level;
        return result;
    }
};

using Levels = std::vector<uint32_t>;

} // namespace

TEST_CASE("a read waits for the write before it, and reads do not wait for each other") {
    Program p;
    Tensor a = p.tensor(4), b = p.tensor(4), c = p.tensor(4), d = p.tensor(4);
    p.run({a}, {b});
    p.run({b}, {c});
    p.run({b}, {d});
    CHECK(p.levels() == Levels{0, 1, 1});
}

TEST_CASE("a write waits for the reads before it") {
    Program p;
    Tensor a = p.tensor(4), b = p.tensor(4), c = p.tensor(4);
    p.run({a}, {b});
    p.run({c}, {a});
    CHECK(p.levels() == Levels{0, 1});
}

TEST_CASE("a write waits for the write before it") {
    Program p;
    Tensor a = p.tensor(4), b = p.tensor(4), c = p.tensor(4);
    p.run({a}, {c});
    p.run({b}, {c});
    p.run({c}, {a});
    CHECK(p.levels() == Levels{0, 1, 2});
}

TEST_CASE("independent work shares a level, wherever it was written down") {
    Program p;
    Tensor a = p.tensor(4), b = p.tensor(4), c = p.tensor(4), d = p.tensor(4), e = p.tensor(4);
    p.run({a}, {b});
    p.run({b}, {c});
    p.run({a}, {d});
    p.run({c, d}, {e});
    CHECK(p.levels() == Levels{0, 1, 0, 2});
    CHECK(p.schedule().order == std::vector<uint32_t>{0, 2, 1, 3}); // the program's order within a level
}

TEST_CASE("disjoint views of one storage do not conflict, overlapping ones do") {
    Program p;
    Tensor whole = p.tensor(8), low = p.view(whole, 0, 4), high = p.view(whole, 16, 4), middle = p.view(whole, 12, 2);
    Tensor x = p.tensor(4);
    p.run({x}, {low});
    p.run({x}, {high});
    p.run({x}, {middle});
    p.run({whole}, {});
    CHECK(p.levels() == Levels{0, 0, 1, 2});
}

TEST_CASE("a kernel that reads and writes a tensor in place is ordered both ways") {
    Program p;
    Tensor w = p.tensor(4), y = p.tensor(4);
    p.run({w}, {y});
    p.run({w}, {w});
    p.run({w}, {y});
    CHECK(p.levels() == Levels{0, 1, 2});
}

TEST_CASE("reading what nothing has written is an error that names kernel and tensor") {
    Program p;
    Tensor inner = p.tensor(4, false), y = p.tensor(4);
    p.run({inner}, {y});
    CHECK_THROWS_WITH_AS(p.levels(), doctest::Contains("kernel 0"), Error);
    CHECK_THROWS_WITH_AS(p.levels(), doctest::Contains("t0"), Error);
}

TEST_CASE("a kernel given too few tensors is an error") {
    Program p;
    p.run({p.tensor(4)}, {p.tensor(4)});
    p.dispatches[0].buffers.pop_back();
    CHECK_THROWS_WITH_AS(p.levels(), doctest::Contains("kernel 0"), Error);
}

TEST_CASE("nothing to do is no level") {
    Schedule s = Program().schedule();
    CHECK(s.order.empty());
    CHECK(s.level_begin == std::vector<uint32_t>{0});
}

TEST_CASE("any program: conflicting dispatches are in the program's order, in different levels") {
    for (uint32_t round = 0; round < 200; round++) {
        uint32_t counter = 0;
        auto draw = [&](uint32_t bound) { return random_below(1, Stream::data, round, counter++, bound); };
        Program p;
        Tensor storages[] = {p.tensor(64), p.tensor(64), p.tensor(64)};
        for (int i = 0; i < 30; i++) {
            uint32_t begin = draw(56);
            Tensor reads = p.view(storages[draw(3)], 4 * begin, 1 + draw(8));
            begin = draw(56);
            p.run({reads}, {p.view(storages[draw(3)], 4 * begin, 1 + draw(8))});
        }
        Levels levels = p.levels();
        auto overlap = [&](Tensor a, Tensor b) {
            const TensorInfo &x = p.tensors[a.id], &y = p.tensors[b.id];
            return x.storage == y.storage && x.offset < y.offset + y.bytes() && y.offset < x.offset + x.bytes();
        };
        size_t wrong = 0;
        for (size_t i = 0; i < 30; i++)
            for (size_t k = 0; k < i; k++) {
                const std::vector<Tensor>&now = p.dispatches[i].buffers, &before = p.dispatches[k].buffers;
                bool conflict = overlap(now[0], before[1]) || overlap(now[1], before[0]) || overlap(now[1], before[1]);
                wrong += conflict && levels[i] <= levels[k];
            }
        CHECK(wrong == 0);
    }
}

TEST_CASE("blocks in use at the same time never overlap, and sharing never takes more") {
    for (uint32_t round = 0; round < 300; round++) {
        uint32_t counter = 0;
        auto draw = [&](uint32_t bound) { return random_below(2, Stream::data, round, counter++, bound); };
        const uint64_t align = 16u << draw(5);
        std::vector<Lifetime> blocks(1 + draw(40));
        uint64_t most_alive = 0, sum = 0;
        for (Lifetime& b : blocks) {
            b.first = draw(20);
            b.last = b.first + draw(6);
            b.bytes = 1 + draw(draw(10) ? 5000 : 200000);
            sum += (b.bytes + align - 1) / align * align;
        }
        for (uint32_t level = 0; level < 26; level++) {
            uint64_t alive = 0;
            for (const Lifetime& b : blocks)
                alive += b.first <= level && level <= b.last ? (b.bytes + align - 1) / align * align : 0;
            most_alive = std::max(most_alive, alive);
        }
        for (bool share : {true, false}) {
            Arena arena = place_in_arena(blocks, align, share);
            size_t wrong = 0;
            for (size_t i = 0; i < blocks.size(); i++) {
                wrong += arena.offsets[i] % align != 0 || arena.offsets[i] + blocks[i].bytes > arena.bytes;
                for (size_t k = 0; k < i; k++) {
                    bool together = blocks[i].first <= blocks[k].last && blocks[k].first <= blocks[i].last;
                    bool apart = arena.offsets[i] + blocks[i].bytes <= arena.offsets[k] ||
                                 arena.offsets[k] + blocks[k].bytes <= arena.offsets[i];
                    wrong += (together || !share) && !apart;
                }
            }
            CHECK(wrong == 0);
            CHECK(arena.live == most_alive);
            CHECK(arena.bytes >= most_alive);
            CHECK(arena.bytes <= sum);
            CHECK((share || arena.bytes == sum));
        }
    }
    CHECK(place_in_arena({}, 256, true).bytes == 0);
}

TEST_CASE("what lives at once is known beside the arena") {
    Lifetime blocks[] = {{100, 0, 2}, {300, 1, 1}, {50, 2, 3}, {260, 3, 3}}; // 256 and 512 live, 512, 768 bytes
    Arena arena = place_in_arena(blocks, 256, true);
    CHECK(arena.live == 256 + 512);
    CHECK(arena.bytes >= arena.live);
}
