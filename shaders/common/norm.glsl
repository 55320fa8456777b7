// x (N, S, C), the C channels in G groups. A work item walks over a chunk of the S positions of one picture, with one
// channel, or with QUADS four neighbours; what belongs to channels is fetched before. Neighbouring work items have
// neighbouring channels: together they read whole lines of memory, one after the other.
//
// TEXELS are quads that are read from texel buffers (what those are good for: common/gemm.glsl).
#ifdef TEXELS
#define QUADS
#endif

layout(push_constant) uniform Push {
    uint count;
    uint batch, positions, channels, groups, chunks, length; // length: positions of a chunk; the last may have fewer
};

#ifdef QUADS
#define Value vec4
#define LOAD(x, at) x##_quad(4 * (at))
#define STORE(at, c, v) store_quad(4 * (at), c, v) // of common/epilogue.glsl
const uint WIDTH = 4;
#else
#define Value float
#define LOAD(x, at) x##_one(at)
#define STORE(at, c, v) store_one(at, c, v)
const uint WIDTH = 1;
#endif

struct Item {
    uint n, chunk, c;       // picture, chunk of its positions, (first) channel
    uint first, step, end;  // the Values that it walks over
};

Item item_of(uint index) {
    Item item;
    uint columns = channels / WIDTH, row = index / columns, column = index - row * columns;
    item.n = row / chunks;
    item.chunk = row - item.n * chunks;
    item.c = column * WIDTH;
    uint from = item.chunk * length, to = min(from + length, positions);
    item.first = (item.n * positions + from) * columns + column;
    item.step = columns;
    item.end = (item.n * positions + to) * columns;
    return item;
}

// The group of each channel of a Value, and what a list of pairs has for it.
#ifdef QUADS
#define Rows uvec4
#define FIRST(pairs, row) vec4(pairs[(row).x].x, pairs[(row).y].x, pairs[(row).z].x, pairs[(row).w].x)
#define SECOND(pairs, row) vec4(pairs[(row).x].y, pairs[(row).y].y, pairs[(row).z].y, pairs[(row).w].y)
Rows rows_of(Item item) { return item.n * groups + (item.c + uvec4(0, 1, 2, 3)) / (channels / groups); }
#else
#define Rows uint
#define FIRST(pairs, row) pairs[row].x
#define SECOND(pairs, row) pairs[row].y
Rows rows_of(Item item) { return item.n * groups + item.c / (channels / groups); }
#endif
