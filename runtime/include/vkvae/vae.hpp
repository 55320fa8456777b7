// The domain: variational autoencoders, in the papers' words. A model is read from JSON, trained, sampled, evaluated
// and saved here.
//
//   x (N, H, W, C) in [0,1]   q(z|x) = N(mu, exp(logvar))   z (N, D)   p(z) = N(0, I)   p(x|z) a likelihood
//   -ELBO = nll + beta kl,  nll = -log p(x|z),  kl = KL(q(z|x) || p(z)): nats per sample, summed over elements,
//   averaged over the batch. Kingma and Welling 2013, "Auto-Encoding Variational Bayes"; Higgins et al. 2017 (beta).
#pragma once

#include <filesystem>

#include "vkvae/ops.hpp"

namespace vkvae {

// ---- the model: vae/model_json.cpp, vae/layers.cpp -----------------------------------------------------------------

// One entry of "encoder" or "decoder". Which fields a layer type takes is in the table of vae/layers.cpp.
struct Layer {
    std::string type;
    int64_t out = 0; // features or channels
    int kernel = 0, stride = 1, output_padding = 0;
    std::array<int, 4> padding = {}; // top, left, bottom, right
    int groups = 0;
    float eps = 1e-5f;
    bool bias = true;
    Activation activation = Activation::none;
    Shape shape;               // of reshape: (H, W, C)
    std::vector<Layer> layers; // of residual
};

// Latents, the layers that lead to them from below, and those that lead down again. A plain VAE has one level, a
// hierarchical one several, from the data upwards; see vae/levels.cpp.
struct Level {
    std::vector<Layer> encoder, decoder;
    int64_t latent = 0;  // numbers of a sample; channels of a map where the encoder ends in a picture
    float free_bits = 0; // nats of the level's KL that cost nothing
};

// What training minimises: a row of the table in vae/objective.cpp, and what it takes.
struct ObjectiveConfig {
    std::string name = "elbo";
    int64_t samples = 1;                 // K: draws from each posterior
    float beta = 1;                      // weight of the KL term, or of what the objective says
    int64_t warmup = 0;                  // steps in which beta rises from 0
    int64_t cycle = 0;                   // steps after which it does so again; 0: never
    float free_bits = 0;                 // nats of the KL of each dimension that cost nothing
    float capacity = 0;                  // nats that the KL term is held to
    int64_t capacity_steps = 0;          // in which it rises from 0 to that
    float off_diagonal = 0, diagonal = 0; // of DIP-VAE
};

// "posterior": {"type": "vq", ...}: at each place of a map, q(z|x) is one row of a codebook, or the sum of one of each of
// several. z is the map of these rows. van den Oord et al. 2017. And "prior": {"type": "pixelcnn", ...} over the codes.
struct VqConfig {
    int64_t codes = 0, dim = 0;       // K, D; no codes: the posterior is Gaussian
    int64_t levels = 1;               // codebooks, each for what is left by those before it
    int64_t height = 1, width = 1;    // of the map; the Vae learns it from its encoder
    float commitment = 0.25f, decay = 0.99f, restart = 0.02f;
    bool average = true;              // "codebook": "ema", else "gradient"
    int64_t prior_channels = 0, prior_layers = 0; // of the PixelCNN; no channels: the prior is uniform
    explicit operator bool() const { return codes > 0; }
    int64_t positions() const { return height * width; }
};

struct ModelConfig {
    std::string name;
    int64_t height = 0, width = 0, channels = 0; // of the input; a vector of D numbers is (1, D, 1)
    int64_t latent = 0;                          // D: numbers in all levels' latents, or in the map of a vq posterior
    VqConfig vq;
    std::string likelihood;                      // a row of the table in vae/likelihood.cpp
    float sigma = 1;                             // of a gaussian likelihood; its start value if learned
    bool learned_sigma = false;
    bool pixel_sigma = false;                    // "sigma": "per_pixel", of the decoder's making
    int64_t classes = 0;                         // of a categorical likelihood
    int64_t components = 1;                      // of a mixture
    int64_t parameters = 1;                      // that p(x|z) has for each element: the decoder makes pixels() of each
    bool he_init = false; // "init": "he" (He et al. 2015) before relu, leaky_relu, elu, silu and gelu; else PyTorch's
    bool output_at_mean = false; // "output_bias": "data_mean", see initialise()
    std::vector<Level> levels;
    bool deterministic = false;            // "posterior": "none": z = mu, a plain autoencoder
    int64_t label_classes = 0;             // of the labels that encoder and decoder are given; 0: none
    Corruption corruption = Corruption::none; // of what the encoder sees in training
    float corruption_amount = 0;
    std::string prior = "standard_normal"; // a row of the table in vae/prior.cpp
    int64_t prior_components = 0;          // of the prior, if it has any
    ObjectiveConfig objective;
    std::string json; // as it was read, on one line: what checkpoints carry
    int64_t pixels() const { return height * width * channels; }
};

// Errors: Status::data with the key or layer, what was found and what is allowed.
ModelConfig parse_model(const std::string& json);
// The JSON of "mlp", "conv28", "conv64" or "res128"; empty if there is no such preset.
std::string preset_model(const std::string& name);
std::vector<std::string> preset_names();

// ---- parameters: vae/parameters.cpp --------------------------------------------------------------------------------

// One weight or bias: a slice of the flat buffer. On disk it has PyTorch's name, shape and order of axes; inside, the
// kernel's: axis i of the permuted array is axis order[i] of disk_view, which is disk_shape with flattened (C, H, W)
// features split up.
struct Parameter {
    std::string name;
    Shape disk_shape;
    Shape disk_view;
    std::vector<int> order;
    Shape shape;         // inside, the permuted axes merged to what the kernel takes
    int64_t offset = 0;  // elements from the start of the flat buffer
    int64_t fan_in = 0;  // 0: initialised to `fill`, else uniform in +-gain/sqrt(fan_in); gain 1 is PyTorch's default
    float gain = 1;
    float fill = 0;
    bool narrow = false; // only products read it: from its copy of 16 bits, if there is one
    bool trained = true; // false: state that no gradient and no optimizer touches, kept and saved with the weights
    // Several parameters may be neighbouring columns of one matrix in memory, which one product takes then: the length of
    // its rows, 0 for a parameter of its own, and the first of this one's columns. `offset` is of its first number.
    int64_t row = 0, column = 0;
    int64_t count() const { return element_count(shape); }
};

// The model's parameters, the definitions and the memory in one Buffer: weights | gradients | m | v, f32, and for mixed
// precision the weights once more in f16 or bf16, and the state of the loss scale (OptimizerState).
class Parameters {
  public:
    // Definitions only: no memory until allocate().
    explicit Parameters(std::vector<Parameter> definitions);
    const std::vector<Parameter>& list() const { return list_; }
    int64_t count() const;  // numbers the model has
    int64_t padded() const { return padded_; } // length of the flat buffer: slices start at bindable offsets
    int64_t trained() const { return trained_; } // length of its first part, the optimizer's; state comes after it
    // Views of a flat tensor (padded), one for each parameter, or of `narrow` for those that have their copy there. What are
    // columns of one matrix share a view of it.
    std::vector<Tensor> views(Graph& g, Tensor flat, Tensor narrow = {}) const;
    // training = false leaves out gradients and moments. All zero, but for the loss scale.
    void allocate(Device& device, bool training, DType precision = DType::f32);
    // Draws start values from Philox: the same on every device. What trains a Vae is the free initialise() below.
    void initialise(uint64_t seed);

    // Host copies of one parameter in PyTorch's order, and of the flat moments.
    std::vector<float> read(const Parameter& p) const;
    void write(const Parameter& p, std::span<const float> values);
    enum class Region { weights, gradients, m, v };
    std::vector<float> read(Region region) const;
    std::vector<float> read_gradient(const Parameter& p) const; // PyTorch's order; times the loss scale, if there is one
    void write(Region region, std::span<const float> values);
    uint64_t offset_bytes(Region region) const { return uint64_t(region) * uint64_t(padded_) * 4; }
    const Buffer& buffer() const { return buffer_; }
    bool training() const { return training_; }
    DType precision() const { return precision_; }
    uint64_t narrow_offset() const { return bytes(training_, DType::f32); } // of the weights of 16 bits
    uint64_t loss_scale_offset() const { return narrow_offset() + uint64_t(padded_) * 2; }
    std::array<float, 3> loss_scale() const; // of f16, as are the following
    void set_loss_scale(const std::array<float, 3>& state);
    uint64_t bytes(bool training, DType precision) const;
    Device& device() const; // errors: no memory yet

  private:
    std::vector<float> read(const Parameter& p, Region region) const;
    void upload(uint64_t first, std::span<const float> weights);
    Device* device_ = nullptr;
    std::vector<Parameter> list_;
    int64_t padded_ = 0, trained_ = 0;
    bool training_ = false;
    DType precision_ = DType::f32;
    Buffer buffer_;
};

// ---- the VAE: vae/vae.cpp, levels.cpp, objective.cpp, prior.cpp, likelihood.cpp ------------------------------------

// What the elements of x may be. Counts and tokens are f32 numbers as they are, never bytes, which stand for 1/255.
enum class Elements { unit, levels, real, counts, tokens }; // [0,1]; k/255; any; 0, 1, 2, ...; 0 ... classes - 1

// p(x|z). A row of a table: adding a likelihood is one row, its shader and its test.
struct Likelihood {
    const char* name;
    const char* keys; // of the model's JSON, space-separated; a trailing ! marks a required one
    Elements elements;
    int64_t (*parameters)(const ModelConfig& config); // P for each element of x
    // -scale log p(x|z) in parts of each sample: x (N, pixels), prediction (N, pixels P) -> (N, C).
    Tensor (*nll)(Graph& g, Tensor x, Tensor prediction, Tensor log_sigma, float scale);
    // The mean of p(x|z) in the data's range, or what stands for it: (N, pixels P) -> (N, pixels).
    Tensor (*mean)(Graph& g, Tensor prediction, int64_t parameters);
    // Its inverse: the first parameter for this mean where the others are 0, finite for all of the data's range. None: there
    // is no such parameter.
    double (*prediction_of)(double mean);
    bool density = false; // over the data's range, not the probability of a value: bits of bytes are 8 more
};
std::span<const Likelihood> likelihoods();
const Likelihood& find_likelihood(const std::string& name); // errors: Status::data
// Whether the model takes integers as they are, and not bytes as shades from 0 to 1.
bool takes_integers(const ModelConfig& model);

// p(z): what is added to log q(z|x) to become the KL term. A row of a table: adding a prior is one row and its test.
struct Weights;
class Vae;
struct Prior {
    const char* name;
    const char* keys; // of "prior" in the JSON, beside "type"
    // -log p(z) of each z (M, D) -> (M). Empty for N(0, I), whose KL rsample knows.
    Tensor (*nll)(Graph& g, const Vae& vae, const Weights& w, Tensor z);
};
std::span<const Prior> priors();
const Prior& find_prior(const std::string& name); // errors: Status::data

// The weights of a model inside one graph: views of a flat external tensor.
struct Weights {
    Tensor flat;                 // (padded), external: bind it to Parameters::buffer()
    Tensor narrow;               // the same in 16 bits, at Parameters::narrow_offset(); none in f32
    std::vector<Tensor> tensors; // one for each Parameter
};

struct Elbo {
    Tensor loss, nll, kl;    // (1): means over the batch. Of the objective elbo: loss = nll + beta kl
    Tensor kl_dims;          // (kl_columns()): the parts of kl
    Tensor moments;          // (N, 2 D): of q(z|x), mu and after it logvar
    Tensor z, prediction;    // (N K, D), (N K, pixels P)
    std::vector<std::pair<std::string, Tensor>> extras; // (1) each: what else the objective is made of, see Vae::extras()
    // Of a vq posterior, whose kl does not depend on the encoder, so that loss = nll + quantisation error + what the prior
    // learns from:
    Tensor perplexity;       // (levels): of the codes of this batch
    struct Level {
        Tensor given, one_hot, counts; // what the codebook was given (M, D), its codes (M, K), their sums (K)
    };
    std::vector<Level> levels;
};

class Vae {
  public:
    // Checks that all layers fit together. Errors: Status::data with the layer and the shapes.
    explicit Vae(ModelConfig config);
    const ModelConfig& config() const { return config_; }
    Parameters make_parameters() const { return Parameters(definitions_); }
    const std::vector<Parameter>& definitions() const { return definitions_; }

    // Graph builders. x is (N, pixels), rows in (H, W, C) order. y: (N, label_classes), ones and zeros, of a conditional model.
    //
    // z of a hierarchical model are the standardised latents of all levels, the top one first: what p(z) = N(0, I) is
    // the prior of, and the decoder turns into the levels' own. See vae/levels.cpp.
    Weights add_weights(Graph& g, DType precision = DType::f32) const;
    // (N, 2 D): mu and after it logvar of q(z|x). Where levels depend on those above: on their means. A deterministic
    // encoder's logvar is -30. Of a vq posterior (N, D): what quantize() takes.
    Tensor encode(Graph& g, const Weights& w, Tensor x, Tensor y = {}) const;
    // Of a vq posterior, M = N h w rows in (N, h, w) order: what encode() made as codes; what the prior says of these, as
    // logits (M, K) of each level, and as their nll (N, levels) in nats; and after an optimizer, the codebooks' own update.
    Quantized quantize(Graph& g, const Weights& w, Tensor encoded) const;
    std::vector<Tensor> code_logits(Graph& g, const Weights& w, std::span<const Tensor> codes) const;
    Tensor code_nll(Graph& g, const Weights& w, std::span<const Tensor> codes) const;
    void update_codebooks(Graph& g, const Weights& w, const Elbo& elbo, Tensor control) const;
    Tensor decode(Graph& g, const Weights& w, Tensor z, Tensor y = {}) const; // (N, pixels P): what the likelihood takes
    Tensor mean(Graph& g, Tensor prediction) const;            // of p(x|z), in [0,1] for images
    Tensor nll(Graph& g, const Weights& w, Tensor x, Tensor prediction, float scale) const; // (N)
    Tensor nll_parts(Graph& g, const Weights& w, Tensor x, Tensor prediction, float scale) const; // (N, C), see ops.hpp
    // Posterior samples and what they decode to.
    struct Inference {
        Tensor moments;    // (N, 2 D), or those of one level's draws each: empty if there are several levels
        Tensor z;          // (N K, D)
        Tensor kl;         // (N K, kl_columns())
        Tensor prediction; // (N K, pixels P)
    };
    // x is what the encoder sees. eps (N K, D) is drawn inside unless given, which only a single level takes.
    Inference infer(Graph& g, const Weights& w, Tensor x, Tensor y, Tensor eps, RsampleOptions options) const;
    // From encode()'s moments, for one level: the same without the encoder.
    Inference infer_from(Graph& g, const Weights& w, Tensor moments, Tensor y, RsampleOptions options) const;
    // The training objective. x is corrupted for the encoder where the model says so. eps as in infer().
    Elbo elbo(Graph& g, const Weights& w, Tensor x, Tensor eps = {}, Tensor y = {}) const;
    Tensor pseudo_inputs(Graph& g, const Weights& w) const; // (K, pixels): of the prior vamp
    std::vector<std::string> extras() const; // names of what elbo() returns beside the usual

    int64_t kl_columns() const; // into how many parts the KL is split: D, or 1 where the prior is no product
    // Width of each level's part of z, in z's order: the top level first.
    const std::vector<int64_t>& level_widths() const { return level_widths_; }

    // Which of the parameters "output_bias": "data_mean" sets. Errors: Status::data if the decoder ends in no such bias.
    size_t output_bias() const;

    struct Scope; // vae/layers.hpp

  private:
    Elbo elbo_vq(Graph& g, const Weights& w, Tensor x, Tensor seen) const;
    Scope scope(Graph& g, const Weights& w) const;
    Tensor kl_of(Graph& g, const Weights& w, const Rsample& drawn) const;
    ModelConfig config_;
    std::vector<Parameter> definitions_;
    std::vector<int64_t> level_widths_;
    std::vector<Shape> maps_; // (H, W) of each level's latents, from the data upwards; empty for vectors
};

// ---- training: vae/trainer.cpp -------------------------------------------------------------------------------------

// Samples in host memory: (count, width) u8 or f32, rows in (H, W, C) order. Borrowed.
struct DataView {
    std::span<const std::byte> bytes;
    int64_t count = 0;
    int64_t width = 0;
    DType type = DType::u8;
    std::span<const uint8_t> labels = {}; // (count): needed by conditional models alone
    uint64_t row_bytes() const { return uint64_t(width) * (type == DType::u8 ? 1 : 4); }
    // Errors: Status::data if there are no samples, or they are not what the model takes: of another width, or with an
    // element that its likelihood gives no probability.
    void check(const ModelConfig& model) const;
};

// (N, classes): 1 at each label, else 0. Errors: Status::usage if there is no such class.
std::vector<float> one_hot(std::span<const uint8_t> labels, int64_t classes);

// Start values for training on these data: parameters.initialise(seed) and then, for a model with
// "output_bias": "data_mean", the bias of the decoder's last layer such that it alone predicts the mean of the data, for
// each channel of a picture or each number that a linear layer makes. Otherwise the first steps of pictures on black go
// into that bias, which is far off, and details come later; the README has what that costs on sprites.
// Blocks; `parameters` must be allocated. Errors: Status::data if the data do not fit the model.
void initialise(Parameters& parameters, const Vae& vae, const DataView& data, uint64_t seed);

// Where kernels of products, fusions and the slices of long sums come from: what suits the device by rule; what earlier
// measurements say, if there were any; or measurements of this graph now, some seconds or up to ten minutes of them,
// which are kept for later. They run the model with the parameters as they are, and change nothing.
//
// With the same choices, training gives the same bytes on one device and driver. The rule's are always the same; others
// may add in another order. To go on exactly with a run that was not `off`, keep its Trainer::tuning().
enum class Autotune { off, cached, quick, full };

struct TrainOptions {
    int64_t batch = 128;
    std::string optimizer = "adam"; // adam, adamw, sgd
    float lr = 1e-3f;
    float weight_decay = 0, momentum = 0.9f; // momentum: of sgd
    std::optional<float> beta; // instead of the model's objective's
    float clip_norm = 0; // 0: none
    // The learning rate rises linearly over the first lr_warmup steps; then it stays, or falls to nothing over the
    // total_steps linearly or as half a cosine.
    std::string lr_schedule = "constant"; // constant, linear, cosine
    int64_t lr_warmup = 0, total_steps = 0;
    uint64_t seed = 0;
    Binarize binarize = Binarize::none;
    DType precision = DType::f32;       // f16, bf16: mixed; that of the Parameters. See mixed_precision()
    uint32_t max_steps = 256;           // most steps in one submission
    Autotune autotune = Autotune::cached;
    std::optional<Tuning> tuning;       // if given, these choices, and nothing is read or measured
    double submit_seconds = 0.1;        // of device time that a submission is sized to take
};

// What mixed precision is worth on a device: f16 where it has matrix units or reads narrow numbers faster, else f32.
DType mixed_precision(const Caps& caps);

struct StepStats {
    int64_t step = 0; // from 0
    float loss = 0, nll = 0, kl = 0, gradient_norm = 0;
    float loss_scale = 1; // of f16: what the loss was multiplied by
    float lr = 0, beta = 0; // of this step
    bool skipped = false; // gradients went beyond f16's range: no weight has changed, the scale is halved
    std::vector<float> kl_dims; // (Vae::kl_columns())
    std::vector<float> extras;  // those of Vae::extras()
    std::vector<float> perplexity; // (levels) of a vq posterior: of the batch's codes
};

// A plan of forward + backward + optimizer with its rings. Data are on the device if they fit, else they stream.
class Trainer {
  public:
    // Allocates and uploads. All arguments must outlive the Trainer; `parameters` must be allocated for training.
    Trainer(Device& device, const Vae& vae, Parameters& parameters, const DataView& data, const TrainOptions& options);
    ~Trainer();
    // Runs steps [step(), step() + count) and returns their statistics. Submits, and waits for the last.
    // Sample i of step s is number (s batch + i) of the endless shuffled stream of epochs, so no sample is dropped.
    // Errors: Status::runtime when the loss or a gradient is not finite (of f16: at the smallest loss scale), naming step,
    // seed and the first bad tensor; the weights are then those before that step.
    std::vector<StepStats> run(int64_t count);
    int64_t step() const;
    void set_step(int64_t step); // after loading a checkpoint; steps are below 2^32
    // Milliseconds per kernel of one step, which is trained as any other; its statistics go into `stats`.
    std::vector<KernelTime> profile_step(StepStats* stats = nullptr);
    const Plan& plan() const;
    const TuneReport& tuned() const; // what Autotune::quick or full has found
    const Tuning& tuning() const;    // what is not by rule: given as TrainOptions::tuning, it makes the same Trainer
    bool data_resident() const;
    double device_seconds() const; // spent on all submissions of run(), by the device's clock; 0 where it has none

  private:
    struct State;
    std::unique_ptr<State> state_;
};

// Bytes that a Trainer will take, before anything is allocated.
struct TrainMemory {
    uint64_t parameters = 0, intermediate = 0, data = 0, rings = 0;
    uint64_t unshared = 0; // what intermediate would be without lifetime sharing
    uint64_t live = 0;     // and what it cannot be less than
    uint64_t total() const { return parameters + intermediate + data + rings; }
    size_t dispatches = 0, levels = 0;
};
TrainMemory train_memory(Device& device, const Vae& vae, const TrainOptions& options, int64_t data_count, DType type);

// ---- generation: vae/sampler.cpp -----------------------------------------------------------------------------------

// Plans of encoder and decoder for batches of a fixed size; any number of samples goes through in pieces.
// All calls submit and wait. Images are (n, H, W, C) f32, means of p(x|z).
class Sampler {
  public:
    Sampler(Device& device, const Vae& vae, const Parameters& parameters, int64_t batch);
    ~Sampler();
    // From the prior: z[i] depends on (seed, i) alone. The temperature scales standard deviations: of all levels, or each
    // of its own, the top one first; of a vq posterior it divides the logits of codes. Errors: Status::usage if there are
    // neither one nor as many temperatures as levels.
    std::vector<float> sample_latents(int64_t n, uint64_t seed, std::span<const float> temperatures);
    std::vector<float> sample_latents(int64_t n, uint64_t seed, float temperature = 1) {
        return sample_latents(n, seed, std::span<const float>(&temperature, 1));
    }
    // labels (n) are for conditional models, which need them; others take none.
    std::vector<float> decode(std::span<const float> z, std::span<const uint8_t> labels = {}); // (n, D)
    struct Encoded {
        std::vector<float> mu, logvar; // (n, D); of a vq posterior z and nothing
    };
    Encoded encode(std::span<const float> images, std::span<const uint8_t> labels = {}); // (n, H, W, C)
    std::vector<float> reconstruct(std::span<const float> images, std::span<const uint8_t> labels = {}) {
        return decode(encode(images, labels).mu, labels);
    }
    // Of a vq posterior: codes (n, levels, h, w), and the z that they stand for.
    std::vector<uint32_t> encode_codes(std::span<const float> images);
    std::vector<uint32_t> sample_codes(int64_t n, uint64_t seed, float temperature = 1);
    std::vector<float> latents_of(std::span<const uint32_t> codes) const;

  private:
    void add_pseudo_posteriors(std::vector<float>& z, uint64_t seed);
    struct State;
    std::unique_ptr<State> state_;
};

// Spherical interpolation keeps the norm typical of the prior; falls back to linear for parallel vectors. White 2016.
std::vector<float> interpolate(std::span<const float> a, std::span<const float> b, float t, bool spherical);

// ---- evaluation: vae/evaluate.cpp ----------------------------------------------------------------------------------

// What evaluate() knows of each sample of a batch, in nats where it is one. Views that live as long as the call.
struct EvaluatedBatch {
    int64_t first = 0, count = 0;   // samples [first, first + count) of the data
    std::span<const float> x, mean; // (count, pixels): as the model saw them, and their reconstructions from mu
    std::span<const float> moments; // (count, 2 D): of q(z|x), mu and after it logvar; empty of a vq posterior
    std::span<const float> nll, kl; // (count) for one draw of z, (count, Vae::kl_columns())
    std::span<const double> iw_nll; // (count), empty without importance samples
};

struct EvaluateOptions {
    int64_t batch = 128;
    int64_t importance_samples = 0; // K of the importance-weighted bound; 0: not computed
    uint64_t seed = 0;
    Binarize binarize = Binarize::none;
    std::function<bool(int64_t done, int64_t total)> progress; // return false to stop (Status::interrupted)
    std::function<void(const EvaluatedBatch&)> each_batch;     // in the order of the data
};

// Means over the data, in nats per sample.
struct Evaluation {
    int64_t count = 0;
    double elbo = 0; // -(nll + kl), whatever beta the model was trained with
    double nll = 0, kl = 0;
    std::vector<double> kl_dims;
    int64_t active_units = 0; // dimensions whose posterior mean varies by more than 0.01 (Burda et al. 2015)
    double mse = 0;           // of the reconstruction from mu, per element
    // -log (1/K sum_k p(x, z_k) / q(z_k|x)), an upper bound of -log p(x) that tightens with K (Burda et al. 2015).
    double iw_nll = 0;
    std::vector<double> perplexity; // (levels) of a vq posterior: of all codes of the data
};
Evaluation evaluate(Device& device, const Vae& vae, const Parameters& parameters, const DataView& data,
                    const EvaluateOptions& options);

// ---- checkpoints: vae/checkpoint.cpp -------------------------------------------------------------------------------

// A model file: PyTorch names, shapes and layouts; config and version in the metadata. Atomic, checksummed.
void save_model(const std::filesystem::path& file, const Vae& vae, const Parameters& parameters);
// The config in a model file. Errors: Status::data.
ModelConfig read_model_config(const std::filesystem::path& file);
// Fills `parameters`, which must be allocated. Errors: Status::data if tensors are missing, extra or of another shape.
void load_model(const std::filesystem::path& file, const Vae& vae, Parameters& parameters);

// What resuming needs beside the model. `extra` is the caller's (settings, data fingerprint, best score).
struct TrainState {
    int64_t step = 0;
    std::map<std::string, std::string> extra;
};
void save_train_state(const std::filesystem::path& file, const Parameters& parameters, const TrainState& state);
TrainState load_train_state(const std::filesystem::path& file, Parameters& parameters);

} // namespace vkvae
