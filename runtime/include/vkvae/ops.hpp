// The vocabulary: every operation, in the words of the literature. Each function adds nodes to a Graph and returns the
// result; shapes are checked at once. Forward, gradient and kernels of `xyz` are in ops/xyz.cpp, its shaders in shaders/.
//
// Conventions: f32, but see PlanOptions::precision; images NHWC; N batch, H, W, C channels, D latent. Nothing here submits or waits.
#pragma once

#include "vkvae/graph.hpp"

namespace vkvae {

// ---- matrix product: ops/matmul.cpp --------------------------------------------------------------------------------

// op(a) op(b): (M, K) x (K, N) -> (M, N). With transpose_a, a is stored (K, M); with transpose_b, b is stored (N, K).
Tensor matmul(Graph& g, Tensor a, Tensor b, bool transpose_a = false, bool transpose_b = false);

enum class Activation : uint32_t { none, relu, leaky_relu, elu, silu, gelu, sigmoid, tanh, softplus };
// Errors: Status::data if there is no such activation.
Activation activation_from_name(const std::string& name);
const char* activation_name(Activation activation);

// act(x w + bias): x (..., K) -> (..., M); w (K, M); bias (M) or none.
Tensor linear(Graph& g, Tensor x, Tensor w, Tensor bias = {}, Activation activation = Activation::none);

// ---- convolution: ops/conv2d.cpp -----------------------------------------------------------------------------------

struct Conv2d {
    int stride = 1;
    int pad_top = 0, pad_left = 0, pad_bottom = 0, pad_right = 0;
    static Conv2d same_sides(int stride, int padding) { return {stride, padding, padding, padding, padding}; }
};

// Cross-correlation as in PyTorch: x (N, H, W, C), w (KH, KW, C, O), bias (O) -> (N, OH, OW, O),
// OH = (H + pad_top + pad_bottom - KH) / stride + 1, rounded down.
Tensor conv2d(Graph& g, Tensor x, Tensor w, Tensor bias, const Conv2d& options,
              Activation activation = Activation::none);

// The adjoint of conv2d in x: x (N, H, W, C), w (KH, KW, O, C), bias (O) -> (N, OH, OW, O),
// OH = (H - 1) stride - pad_top - pad_bottom + KH + output_padding.
Tensor conv_transpose2d(Graph& g, Tensor x, Tensor w, Tensor bias, const Conv2d& options, int output_padding = 0,
                        Activation activation = Activation::none);

// ---- element by element: ops/elementwise.cpp, ops/activation.cpp ---------------------------------------------------

Tensor activate(Graph& g, Tensor x, Activation activation);
// b has a's shape, or the shape of a's last axes (a bias, a scalar), and is repeated.
Tensor add(Graph& g, Tensor a, Tensor b);
Tensor sub(Graph& g, Tensor a, Tensor b);
Tensor mul(Graph& g, Tensor a, Tensor b);
Tensor scale(Graph& g, Tensor x, float factor, float offset = 0); // factor x + offset
Tensor scale_by_beta(Graph& g, Tensor x);                         // StepParams::beta x

// ---- reductions: ops/reduce.cpp ------------------------------------------------------------------------------------

// Over `count` axes from `axis` on, which disappear; count < 0: all that follow. Sums go through a fixed tree.
// The gradient of max is shared evenly between equal maxima.
Tensor sum(Graph& g, Tensor x, int axis = 0, int count = -1);
Tensor mean(Graph& g, Tensor x, int axis = 0, int count = -1);
Tensor max(Graph& g, Tensor x, int axis = 0, int count = -1);
Tensor sum_of_squares(Graph& g, Tensor x); // of all elements, shape (1); not differentiated

// ---- normalisation: ops/norm.cpp, ops/softmax.cpp ------------------------------------------------------------------

Tensor softmax(Graph& g, Tensor x); // over the last axis
// (x - mean) / sqrt(var + eps) gamma + beta over the last axis; gamma and beta (C). Ba et al. 2016.
Tensor layer_norm(Graph& g, Tensor x, Tensor gamma, Tensor beta, float eps = 1e-5f);
// Over each of `groups` groups of channels and all positions: x (N, ..., C), gamma and beta (C). Wu and He 2018.
Tensor group_norm(Graph& g, Tensor x, Tensor gamma, Tensor beta, int groups, float eps = 1e-5f);

// ---- shape: ops/resample.cpp, ops/shape.cpp ------------------------------------------------------------------------

Tensor upsample2x(Graph& g, Tensor x); // nearest: (N, H, W, C) -> (N, 2H, 2W, C)
// conv2d(upsample2x(x), w, bias) with stride 1 and padding 1 in 4/9 of the products: x (N, H, W, C), w (3, 3, C, O),
// bias (O) or none -> (N, 2H, 2W, O). Equal but for rounding: the taps of w that meet a pixel are added up beforehand.
Tensor upsample2x_conv2d(Graph& g, Tensor x, Tensor w, Tensor bias, Activation activation = Activation::none);
Tensor reshape(Graph& g, Tensor x, Shape shape); // the same bytes, nothing is copied
Tensor concat(Graph& g, Tensor a, Tensor b, int axis = -1);
Tensor slice(Graph& g, Tensor x, int axis, int64_t start, int64_t length);
// Tokens 0 ... classes - 1, or codes of u32, as unit vectors: (...) -> (..., classes); other numbers are zeros. Not differentiated.
// ops/one_hot.cpp
Tensor one_hot(Graph& g, Tensor x, int64_t classes);

// ---- data: ops/gather.cpp ------------------------------------------------------------------------------------------

enum class Binarize : uint32_t { none, dynamic }; // dynamic: a new Bernoulli draw for every visit of a pixel
// Rows of a data set as f32: data (count, D) u8 (scaled by 1/255) or f32; indices (slots, N) u32, of which row
// StepParams::slot is used -> (N, D).
Tensor gather(Graph& g, Tensor data, Tensor indices, Binarize binarize = Binarize::none);

// ---- random numbers: ops/random.cpp, ops/philox.hpp (the CPU twin) -------------------------------------------------

// What the numbers are for: keeps the uses of one seed apart. The numbers are the shader's STREAM_ constants, and are
// part of every result and checkpoint: append, never renumber.
enum class Stream : uint32_t {
    init = 0,
    shuffle = 1,
    augment = 2,
    reparam = 3,
    dropout = 4,
    sample = 5,
    binarize = 6,
    data = 7,
    codebook = 8,
};
// Element i is drawn with the counter (element_base + i, draw, stream, step) of StepParams; the same on every device.
Tensor random_uniform(Graph& g, Shape shape, Stream stream); // [0, 1)
Tensor random_normal(Graph& g, Shape shape, Stream stream);

// ---- the variational part: ops/rsample.cpp, ops/likelihood.cpp -----------------------------------------------------

struct Rsample {
    Tensor z;  // (N K, D) = mu + exp(logvar / 2) eps, the K draws of a sample one after the other
    Tensor kl; // (N K, D) nats
};
enum class KlEstimate : uint32_t {
    analytic, // KL(N(mu, exp(logvar)) || N(0, 1)) = (mu^2 + exp(logvar) - 1 - logvar) / 2
    sampled,  // log q(z|x) - log N(z; 0, 1) at the drawn z, as importance weights need it
    log_q,    // log q(z|x) at the drawn z, for priors of another kind
};
enum class PosteriorGradient : uint32_t {
    total,
    path,   // of a sampled estimate: through z alone (Roeder et al. 2017, "Sticking the Landing")
    doubly, // the same, times the normalised importance weight of the draw (Tucker et al. 2018, DReG)
};
struct RsampleOptions {
    KlEstimate kl = KlEstimate::analytic;
    int64_t draws = 1; // K
    PosteriorGradient gradient = PosteriorGradient::total;
    int64_t first = 0; // number of the first eps that is drawn: posteriors of one graph each have their own
};
// moments (N, 2 D): mu and after it logvar of each sample, as one product makes them. logvar counts as at least -30 and at
// most 20 (no gradient beyond), so that nothing overflows. eps (N K, D) is drawn inside (Stream::reparam), and again in the
// backward pass, unless it is given; then z is differentiated for it too.
// Kingma and Welling 2013, section 2.4 and appendix B.
Rsample rsample(Graph& g, Tensor moments, Tensor eps = {}, const RsampleOptions& options = {});

// log N(z_m; mu_k, exp(logvar_k)) of each z (M, D) under each of the Gaussians with moments (K, 2 D), logvar limited as
// in rsample -> (M, K), summed over D; or with by_dimension (M, D, K), not summed.
Tensor gaussian_log_densities(Graph& g, Tensor z, Tensor moments, bool by_dimension = false);
// log of the mean of exp over the last axis, which disappears.
Tensor log_mean_exp(Graph& g, Tensor x);
// Each row `times` times, one after the other: (N, D) -> (N times, D).
Tensor repeat_rows(Graph& g, Tensor x, int64_t times);

// What a denoising autoencoder's encoder gets to see (Vincent et al. 2008), Stream::augment; not differentiated.
// masking: each number becomes 0 with probability `amount`; salt_and_pepper: 0 or 1, each with probability amount / 2;
// gaussian: amount times a standard normal is added.
enum class Corruption : uint32_t { none, masking, salt_and_pepper, gaussian };
Tensor corrupt(Graph& g, Tensor x, Corruption kind, float amount);
// |x - StepParams::capacity|: the target of Burgess et al. 2018.
Tensor distance_to_capacity(Graph& g, Tensor x);

// -scale log p(x | logits): x, logits (N, D) -> (N, C), parts of each sample's sum over D; sum(g, nll, 1, 1) is the whole.
// How many parts depends on D alone. The gradient for the logits is an elementwise pass, which moves into the kernel that
// computes the logits where what reaches all parts is one number, as in training.
Tensor bernoulli_nll(Graph& g, Tensor x, Tensor logits, float scale = 1);
// -scale log N(x; mean, sigma^2): x, mean (N, D); log_sigma (1), constant or learned -> (N, C), as above.
Tensor gaussian_nll(Graph& g, Tensor x, Tensor mean, Tensor log_sigma, float scale = 1);
Tensor laplace_nll(Graph& g, Tensor x, Tensor median, Tensor log_scale, float scale = 1); // scale e^log_scale

// ---- more likelihoods: ops/likelihood_wide.cpp, ops/multinomial.cpp ------------------------------------------------

// Whose parameters p (N, D P) are P of each element, side by side: pictures have C P channels. x (N, D) -> (N, C), as above.
enum class Wide : uint32_t {
    continuous_bernoulli,  // P = 1: logits; x in [0,1]. Loaiza-Ganem and Cunningham 2019
    poisson,               // P = 1: log rates; x = 0, 1, 2, ...
    gaussian_pair,         // P = 2: mean, log standard deviation
    negative_binomial,     // P = 2: log mean m, log dispersion: the variance is m + dispersion m^2; x = 0, 1, 2, ...
    categorical,           // P logits of as many classes; x = 0 ... P - 1
    discretised_logistic,  // P = 2: mean, log scale in 2 x - 1; x = 0, 1/255, ... 1. P = 3 K: K logits, means, log scales of
                           // a mixture. Salimans et al. 2017
};
Tensor wide_nll(Graph& g, Wide likelihood, Tensor x, Tensor p, float scale = 1);
// The mean of p(x|p); of the categorical the most probable class: p (N, D P) -> (N, D). Not differentiated.
Tensor wide_mean(Graph& g, Wide likelihood, Tensor p, int64_t parameters);
// -scale log p(x | total of the row, softmax(logits)): counts x and logits (N, D) -> (N, C), as above.
Tensor multinomial_nll(Graph& g, Tensor x, Tensor logits, float scale = 1);

struct ElboSums {
    Tensor nll, kl, loss; // (1): sum of the nll given, sum of kl_dims, nll + StepParams::beta kl
    Tensor kl_dims;       // (D): means of kl over N
};
// nll: any shape, already divided by the size of the batch where that is wanted; kl (N, D).
ElboSums elbo_sums(Graph& g, Tensor nll, Tensor kl);

// ---- optimizers: ops/optimizer.cpp ---------------------------------------------------------------------------------

// All update `weights` (n) in place from `gradients` (n), with the step's learning rate; with StepParams::clip_norm > 0
// gradients are scaled down to that norm. A norm or loss (1) that is not finite sets `halted` (1, u32), after which no
// update happens any more: the weights stay as they were before the first bad step.
//
// In mixed precision `narrow` (n, f16 or bf16) is kept a copy of the weights; n is then a multiple of 4. For f16, whose
// range is small, `loss_scale` (3) holds the factor that the loss was multiplied with before it was differentiated (start
// it with kFirstLossScale), the steps since it changed, and the steps skipped so far. Where the gradients' norm is not
// finite but the loss is, the factor is halved and the step skipped; after 2000 steps without that it is doubled. Adam's
// bias corrections come from StepParams and count skipped steps too, unlike PyTorch's.
//
// They return (4): sum of squares of the gradients (without the loss scale), the factor that undoes the scale and clips (0:
// no update), the loss scale of this step (1 without), and 1 if it was skipped.
struct OptimizerState {
    Tensor weights, gradients, halted;
    Tensor loss = {}; // optional, as are the following
    Tensor narrow = {}, loss_scale = {};
};
inline constexpr float kFirstLossScale = 65536;
Tensor sgd(Graph& g, const OptimizerState& state, Tensor velocity, float momentum, float weight_decay);
// Adam (Kingma and Ba 2014); with decoupled_decay AdamW (Loshchilov and Hutter 2017).
struct AdamOptions {
    float beta1 = 0.9f, beta2 = 0.999f, eps = 1e-8f, weight_decay = 0;
    bool decoupled_decay = false;
};
Tensor adam(Graph& g, const OptimizerState& state, Tensor m, Tensor v, const AdamOptions& options);

// ---- vector quantisation: ops/quantize.cpp -------------------------------------------------------------------------

// Codes are (M) u32, numbers of the rows of a codebook (K, D). Between equally near ones the lowest wins.
Tensor nearest_code(Graph& g, Tensor z, Tensor codebook); // z (M, D) -> (M); no gradient
Tensor embedding(Graph& g, Tensor table, Tensor codes);    // rows of table (K, D), which learns: (M, D)

// z (M, D) as the sum of one row of each codebook, each taking what those before it have left. The gradient goes straight
// through to z; that of the error pulls z to its codes, times `commitment`, and with trains_codebooks also the codes to
// their z. van den Oord et al. 2017.
struct QuantizeOptions {
    float commitment = 0.25f;
    bool trains_codebooks = false;
};
struct Quantized {
    Tensor z;                  // (M, D)
    Tensor error;              // (M): squared distances that the codebooks left, summed over D and codebooks
    std::vector<Tensor> codes; // (M) u32, of each codebook
    std::vector<Tensor> given; // (M, D), what each codebook was given; of the first z
};
Quantized quantize(Graph& g, Tensor z, std::span<const Tensor> codebooks, const QuantizeOptions& options);
Tensor perplexity(Graph& g, Tensor counts); // exp of the entropy of counts (K) / sum: how many codes are in use; (1)

// Moves a codebook in place: its codes to moving averages of the z that chose them, unless they learn by gradient, and codes
// that hardly anything chooses to a random z of this step. `frequencies` (K), which start at 1 / K, are the moving average of
// how often each is chosen, as parts of 1. An optimizer whose control says "no update" stops this as well.
struct CodebookState {
    Tensor codebook, frequencies; // (K, D), (K)
    Tensor control;               // (4), what an optimizer returned
    Tensor counts = {};           // (K), sums of the one-hot codes, if there are any already
};
struct CodebookOptions {
    float decay = 0.99f;
    float restart = 0.02f;   // dead: chosen less often than this part of 1 / K; 0: never
    bool average = true;     // false: the codes learn by gradient
    uint32_t first_draw = 0; // keeps the draws of several codebooks apart: K further for each
};
void update_codebook(Graph& g, const CodebookState& state, Tensor z, Tensor one_hot, const CodebookOptions& options);

// -log softmax(logits)[code] of each row: logits (M, K), codes (M) u32 -> (M).
Tensor cross_entropy(Graph& g, Tensor logits, Tensor codes);
// w (KH, KW, C, O) without the taps at and after the middle in reading order; with `centre` the middle stays. What
// convolutions of an autoregressive model see: van den Oord et al. 2016, "Pixel Recurrent Neural Networks", section 3.4.
Tensor causal_mask(Graph& g, Tensor w, bool centre);

// ---- statistics: ops/gather.cpp ------------------------------------------------------------------------------------

// Writes up to six tensors, one after the other, to ring (slots, width) from [StepParams::slot, offset] on.
void ring_store(Graph& g, std::span<const Tensor> x, Tensor ring, int64_t offset);

} // namespace vkvae
