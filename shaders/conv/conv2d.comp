// 2-D convolution as implicit matrix products; nothing is unrolled into memory. With
//   x (N, H, W, C)   w (KH, KW, C, O)   y (N, OH, OW, O)   iy = oy stride - pad_top + r,  ix = ox stride - pad_left + s
//
//   FORWARD          y[n,oy,ox,o]  = epilogue(sum over r,s,c of x[n,iy,ix,c] w[r,s,c,o])
//                    rows (n,oy,ox), columns o, k = (r,s,c)
//   INPUT_GRADIENT   x[n,iy,ix,c]  = epilogue(sum over r,s,o of y[n,oy,ox,o] w[r,s,c,o])   (transposed convolution)
//                    rows (n,iy,ix), columns c, k = (r,s,o). By phases: only taps with r = (iy + pad_top) mod stride
//                    (and so for s) meet an output, so each of the stride^2 phases (z) is a dense product of its own.
//   WEIGHT_GRADIENT  w[r,s,c,o]    = sum over n,oy,ox of x[n,iy,ix,c] y[n,oy,ox,o]
//                    rows (r,s,c), columns o, k = (n,oy,ox), split over z into slices of partial sums
//
// Source: Chetlur et al. 2014, "cuDNN: Efficient Primitives for Deep Learning", section 3.
//
// variants: conv2d_forward_subgroup -DFORWARD -DSUBGROUP | conv2d_forward_subgroup_bits -DFORWARD -DSUBGROUP -DBITS | conv2d_forward_shuffle -DFORWARD -DSHUFFLE | conv2d_forward_narrow -DFORWARD -DFEW_COLUMNS | conv2d_forward_plain -DFORWARD -DPLAIN | conv2d_forward_coopmat -DFORWARD -DCOOPMAT | conv2d_forward_tile -DFORWARD | conv2d_input_gradient_subgroup -DINPUT_GRADIENT -DSUBGROUP | conv2d_input_gradient_subgroup_bits -DINPUT_GRADIENT -DSUBGROUP -DBITS | conv2d_input_gradient_shuffle -DINPUT_GRADIENT -DSHUFFLE | conv2d_input_gradient_narrow -DINPUT_GRADIENT -DFEW_COLUMNS | conv2d_input_gradient_plain -DINPUT_GRADIENT -DPLAIN | conv2d_input_gradient_coopmat -DINPUT_GRADIENT -DCOOPMAT | conv2d_input_gradient_tile -DINPUT_GRADIENT | conv2d_weight_gradient_subgroup -DWEIGHT_GRADIENT -DSUBGROUP | conv2d_weight_gradient_subgroup_bits -DWEIGHT_GRADIENT -DSUBGROUP -DBITS | conv2d_weight_gradient_shuffle -DWEIGHT_GRADIENT -DSHUFFLE | conv2d_weight_gradient_narrow -DWEIGHT_GRADIENT -DFEW_COLUMNS | conv2d_weight_gradient_plain -DWEIGHT_GRADIENT -DPLAIN | conv2d_weight_gradient_coopmat -DWEIGHT_GRADIENT -DCOOPMAT | conv2d_weight_gradient_tile -DWEIGHT_GRADIENT
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#if defined(SUBGROUP) || defined(SHUFFLE)
#extension GL_KHR_shader_subgroup_ballot : require
#extension GL_KHR_shader_subgroup_shuffle : require
#endif
#ifdef SUBGROUP
#define TEXELS
#endif
#ifdef COOPMAT
#extension GL_KHR_cooperative_matrix : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#endif

layout(push_constant) uniform Push {
    uint batch, h, w, c;
    uint oh, ow, o;
    uint kh, kw, stride;
    int pad_top, pad_left;
    uint k_chunk;
};
#include "common/epilogue.glsl"
READABLE(0, a, TYPE_A)
READABLE(1, b, TYPE_B)

// A position of the picture that a tap is added to, and a tap; `at` are offsets into A.
struct Pixel {
    int at, y, x;
};
struct Offset {
    int at, y, x, channel;
    uint index; // into B, before the column
};

Pixel output_pixel(uint index) { // (n, oy, ox): the corner of its window in x
    uint ox = index % ow, oy = index / ow % oh, n = index / ow / oh;
    int y = int(oy * stride) - pad_top, x = int(ox * stride) - pad_left;
    return Pixel(((int(n * h) + y) * int(w) + x) * int(c), y, x);
}
Offset kernel_tap(uint index) { // (r, s, c)
    uint channel = index % c, s = index / c % kw, r = index / c / kw;
    return Offset(int((r * w + s) * c + channel), int(r), int(s), int(channel), index * o);
}
int at_inside(int y, int x, uint height, uint width, int at) {
    return uint(y) < height && uint(x) < width ? at : -1; // negative numbers become large
}

#if defined(FORWARD)

#define Row Pixel
#define Tap Offset
uint gemm_m() { return batch * oh * ow; }
uint gemm_n() { return o; }
uint gemm_k() { return kh * kw * c; }
Row row_state(uint row) { return output_pixel(row); }
Tap tap_state(uint tap) { return kernel_tap(tap); }
void add_to_tap(inout Tap tap, uint by) { // (r, s, c), c first
    tap.index += by * o;
    tap.at += int(by);
    tap.channel += int(by);
}
bool tap_wraps(Tap tap) { return tap.channel >= int(c); }
void wrap_tap(inout Tap tap) {
    tap.channel -= int(c);
    if (++tap.x < int(kw))
        return;
    tap.x = 0;
    tap.y++;
    tap.at += (int(w) - int(kw)) * int(c);
}
int a_at(Row row, Tap tap) { return at_inside(row.y + tap.y, row.x + tap.x, h, w, row.at + tap.at); }
uint b_at_tap(Tap tap) { return tap.index; }
uint b_at_column(uint column) { return column; }
uint b_step() { return o; }
uint c_row(uint row) { return row * o; }

#elif defined(WEIGHT_GRADIENT)

#define A_ALONG_M true
#define Row Offset
struct Tap {
    Pixel pixel;
    uint index;
};
uint gemm_m() { return kh * kw * c; }
uint gemm_n() { return o; }
uint gemm_k() { return batch * oh * ow; }
Row row_state(uint row) { return kernel_tap(row); }
Tap tap_state(uint tap) { return Tap(output_pixel(tap), tap * o); }
void add_to_tap(inout Tap tap, uint by) { // (n, oy, ox), ox first
    tap.index += by * o;
    tap.pixel.x += int(by * stride);
    tap.pixel.at += int(by * stride * c);
}
bool tap_wraps(Tap tap) { return tap.pixel.x >= int(ow * stride) - pad_left; }
void wrap_tap(inout Tap tap) {
    int row = int(w * c);
    tap.pixel.x -= int(ow * stride);
    tap.pixel.y += int(stride);
    tap.pixel.at += int(stride) * (row - int(ow * c));
    if (tap.pixel.y < int(oh * stride) - pad_top)
        return;
    tap.pixel.y = -pad_top;
    tap.pixel.at += (int(h) - int(oh * stride)) * row;
}
int a_at(Row row, Tap tap) {
    return at_inside(row.y + tap.pixel.y, row.x + tap.pixel.x, h, w, row.at + tap.pixel.at);
}
uint b_at_tap(Tap tap) { return tap.index; }
uint b_at_column(uint column) { return column; }
uint b_step() { return o; }
uint c_row(uint row) { return (gl_WorkGroupID.z * gemm_m() + row) * o; }

#else

// Phase (py, px): rows are iy = first_y + stride j, taps r = py + stride t; then oy = j + base_y - t.
uint phase_y() { return gl_WorkGroupID.z / stride; }
uint phase_x() { return gl_WorkGroupID.z % stride; }
uint first_of(uint phase, int pad) { return uint((int(phase) - pad % int(stride) + int(stride)) % int(stride)); }
uint count_of(uint first, uint size) { return first < size ? (size - first + stride - 1) / stride : 0; }
uint taps_of(uint phase, uint size) { return phase < size ? (size - phase + stride - 1) / stride : 0; }
uint rows_y() { return count_of(first_of(phase_y(), pad_top), h); }
uint rows_x() { return count_of(first_of(phase_x(), pad_left), w); }

#define B_ALONG_K true
#define Row Pixel
#define Tap Offset
uint gemm_m() { return batch * rows_y() * rows_x(); }
uint gemm_n() { return c; }
uint gemm_k() { return taps_of(phase_y(), kh) * taps_of(phase_x(), kw) * o; }

uvec3 input_pixel(uint row) { // (n, iy, ix)
    uint ny = rows_y(), nx = rows_x();
    return uvec3(row / nx / ny, first_of(phase_y(), pad_top) + row / nx % ny * stride,
                 first_of(phase_x(), pad_left) + row % nx * stride);
}
Row row_state(uint row) {
    uvec3 p = input_pixel(row);
    int y = (int(p.y) + pad_top - int(phase_y())) / int(stride), x = (int(p.z) + pad_left - int(phase_x())) / int(stride);
    return Pixel(((int(p.x * oh) + y) * int(ow) + x) * int(o), y, x);
}
Tap tap_state(uint tap) {
    uint taps = max(taps_of(phase_x(), kw), 1);
    uint channel = tap % o, tx = tap / o % taps, ty = tap / o / taps;
    uint r = phase_y() + ty * stride, s = phase_x() + tx * stride;
    return Offset(int(channel) - int((ty * ow + tx) * o), int(ty), int(tx), int(channel),
                  (r * kw + s) * c * o + channel);
}
void add_to_tap(inout Tap tap, uint by) { // (ty, tx, channel), channel first
    tap.index += by;
    tap.at += int(by);
    tap.channel += int(by);
}
bool tap_wraps(Tap tap) { return tap.channel >= int(o); }
void wrap_tap(inout Tap tap) {
    uint taps = taps_of(phase_x(), kw), tap_size = stride * c * o;
    tap.channel -= int(o);
    tap.index += tap_size - o;
    tap.at -= 2 * int(o);
    if (++tap.x < int(taps))
        return;
    tap.x = 0;
    tap.y++;
    tap.index += (kw - taps) * tap_size;
    tap.at += (int(taps) - int(ow)) * int(o);
}
int a_at(Row row, Tap tap) { return at_inside(row.y - tap.y, row.x - tap.x, oh, ow, row.at + tap.at); }
uint b_at_tap(Tap tap) { return tap.index; }
uint b_at_column(uint column) { return column * o; }
uint b_step() { return 1; }
uint c_row(uint row) {
    uvec3 p = input_pixel(row);
    return ((p.x * h + p.y) * w + p.z) * c;
}

#endif

#include "common/gemm.glsl"

void main() {
#ifdef INPUT_GRADIENT
    gemm_main(0, gemm_k());
#else
    gemm_main(gl_WorkGroupID.z, k_chunk);
#endif
}
