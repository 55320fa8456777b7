// The graph layer: tensors, op nodes, reverse-mode differentiation, and the plan that runs them.
// Knows tensors and time, and nothing of neural networks: operations come from ops.hpp or from the host.
//
// A Graph says what is computed; lowering turns each node into dispatches for a device; a Plan decides where (memory)
// and when (levels, barriers), once, and then replays recorded command buffers.
#pragma once

#include <array>
#include <cstring>
#include <map>
#include <optional>
#include <utility>

#include "vkvae/gpu.hpp"

namespace vkvae {

using Shape = std::vector<int64_t>;

int64_t element_count(const Shape& shape);
std::string to_text(const Shape& shape); // "(128, 784)"

enum class DType : uint8_t { f32, f16, bf16, u32, u8 }; // the first three as in shaders/common/tensor.glsl
inline bool is_16_bit(DType type) { return type == DType::f16 || type == DType::bf16; }
const char* type_name(DType type); // "f32"
uint64_t byte_count(const Shape& shape, DType type);

// An index into a Graph. Owns nothing.
struct Tensor {
    uint32_t id = ~0u;
    explicit operator bool() const { return id != ~0u; }
    bool operator==(const Tensor&) const = default;
};

struct TensorInfo {
    std::string name;
    Shape shape;
    DType type = DType::f32;
    Tensor storage;                // whose memory this is: itself, or the tensor it is a view of
    uint64_t offset = 0;           // bytes into the storage
    bool external = false;         // lives outside the arena, across steps: inputs, parameters, statistics
    bool keep = false;             // readable after the step: never shares memory
    std::optional<float> constant; // all elements have this value; memory only if something reads it
    bool uniform = false;          // all elements are one number, which only kernels know
    uint64_t bytes() const { return byte_count(shape, type); }
};

// What changes from step to step, seen by kernels as the uniform block of shaders/common/step.glsl. Recorded command
// buffers stay valid: only the ring of these blocks is rewritten.
struct StepParams {
    uint32_t step = 0;              // index of the training step, from 0: keys the random numbers
    uint32_t seed_lo = 0, seed_hi = 0;
    uint32_t slot = 0;              // position in the rings of indices and statistics; set by Plan::submit
    float lr = 0;                   // learning rate
    float bias1 = 1, bias2 = 1;     // 1 - beta1^t, 1 - beta2^t of Adam
    float beta = 1;                 // weight of the KL term
    float clip_norm = 0;            // largest gradient norm, 0: no clipping
    uint32_t element_base = 0;      // added to the element number of random draws: batches of one long sequence
    uint32_t sample = 0;            // which of several draws for the same element (importance samples)
    float capacity = 0;             // that the KL term is held to, see distance_to_capacity()
    void set_seed(uint64_t seed) {
        seed_lo = uint32_t(seed);
        seed_hi = uint32_t(seed >> 32);
    }
};
static_assert(sizeof(StepParams) == 48);

class Graph;
struct Node;

// One kernel launch. Which buffers it reads and writes is reflected from the shader.
struct Dispatch {
    Shader shader;
    std::vector<uint32_t> constants;  // specialization constants 0..n-1; 0 is the workgroup size along x
    std::vector<Tensor> buffers;      // bindings 0..n-1
    std::vector<uint32_t> texels;     // of a binding that is a samplerBuffer: elements in one texel, 1 or 4
    std::vector<uint32_t> push;       // push constants, as words
    std::array<uint32_t, 3> groups = {1, 1, 1};
    std::string name;                 // for profiles: the shader, or what lowering calls it
    std::string product = {};         // what a Tuning may choose the kernel of; set by Lowering
};

// What measurements have chosen, by names; see tune(). Where it says nothing, lowering takes what it thinks best.
// Another number of slices of a sum is another order of additions, and so is Winograd's filtering, so results may differ
// in rounding.
using Tuning = std::map<std::string, std::string>;
using Choices = std::map<std::string, std::vector<std::string>>; // what there was to choose from; untuned: the first

// An operation on single values v, which a kernel can apply to its results before it stores them; see Node::steps.
struct Step {
    enum Kind : uint32_t { none, activation, activation_gradient, add, residual, scale };
    Kind kind = none;      // v = f(v), f'(operand) v, v + operand, factor (f(v) - operand), operand[0] v
    uint32_t function = 0; // f: an Activation
    float factor = 1;      // of a residual: the gradient of many likelihoods, whose mean is f(v)
    Tensor operand;        // of the result's size, or of one number for scale
    Tensor result;         // v after the step
    Tensor before;         // if given, v before the step is stored there
};

// Handed to a node's `lower`: collects dispatches and scratch tensors.
class Lowering {
  public:
    Lowering(const Caps& device, const Graph& graph);
    const Caps& caps;

    const Shape& shape(Tensor t) const { return tensors[t.id].shape; }
    DType type(Tensor t) const { return tensors[t.id].type; }
    // True if some node reads the tensor, or it was kept: outputs that nobody wants need not be computed.
    bool used(Tensor t) const { return used_[tensors[t.id].storage.id]; }
    // Memory that lives from its first to its last use by the dispatches of one node.
    Tensor scratch(Shape shape, const char* name);
    void dispatch(Dispatch d) {
        d.product = std::exchange(product_, "");
        dispatches.push_back(std::move(d));
    }
    // Which of `kernels` the next dispatch should be for this product: what the tuning says, or 0.
    size_t choose(const std::string& product, const std::vector<std::string>& kernels);
    // The same for what changes more than one dispatch, so that only the time of the whole plan can tell: fusions,
    // slices of a sum. In the Tuning it is called "family what"; tune() tries all of a family together first.
    size_t decide(const std::string& family, const std::string& what, const std::vector<std::string>& options);
    // One work item per element: `count` elements in workgroups of 64, folded into y where x alone is too short.
    // Kernels use global_index() of shaders/common/index.glsl and get `count` as their first push constant.
    template <class Push>
    void each(const char* shader, uint64_t count, std::vector<uint32_t> constants, std::vector<Tensor> buffers,
              const Push& push, std::vector<uint32_t> texels = {});

    const Node* node = nullptr;      // that is being lowered
    const Tuning* tuning = nullptr;  // if there is one
    Choices choices;                 // of kernels, by product
    std::map<std::string, Choices> decisions; // by family
    Tuning chosen;                   // what is other than it would be without a tuning
    std::vector<TensorInfo> tensors; // the graph's, and scratch
    std::vector<Dispatch> dispatches;

  private:
    size_t look_up(const std::string& name, const std::vector<std::string>& options);
    void each_words(const char* shader, uint64_t count, std::vector<uint32_t> constants, std::vector<Tensor> buffers,
                    std::vector<uint32_t> push, std::vector<uint32_t> texels);
    std::vector<bool> used_;
    std::string product_; // of the next dispatch
};

// Plain structs of 32-bit members become push constant words.
template <class Push> std::vector<uint32_t> push_words(const Push& push) {
    static_assert(sizeof(Push) % 4 == 0 && std::is_trivially_copyable_v<Push>);
    std::vector<uint32_t> words(sizeof(Push) / 4);
    std::memcpy(words.data(), &push, sizeof(Push));
    return words;
}

template <class Push>
void Lowering::each(const char* shader, uint64_t count, std::vector<uint32_t> constants, std::vector<Tensor> buffers,
                    const Push& push, std::vector<uint32_t> texels) {
    each_words(shader, count, std::move(constants), std::move(buffers), push_words(push), std::move(texels));
}

// Handed to a node's `adjoint`: the gradients of its outputs, and where the gradients of its inputs go.
struct Adjoint {
    Graph& graph;
    const Node& node;
    std::vector<Tensor> dy;   // gradient of out[i]; empty if none reaches it
    std::vector<Tensor> dx;   // to be set: gradient of in[i]
    std::vector<bool> wanted; // whether the gradient of in[i] is needed at all
};

struct Node {
    const char* op = "";
    std::vector<Tensor> in, out;
    std::function<void(Lowering&)> lower;
    std::function<void(Adjoint&)> adjoint; // empty: no gradient flows through
    Step step;                // if the node is one: out[0] = step(in[0]), with the step's operand in[1]
    bool takes_steps = false; // its kernels can end with steps on out[0]
    std::vector<Step> steps;  // that it has taken: filled by fusion
    bool takes_16_bit = false; // its kernels read and write tensors of 16 bits,
    std::vector<Tensor> wide;  // but these have to be f32
};

class Graph {
  public:
    // A result of a node that add() is given next.
    Tensor tensor(Shape shape, std::string name, DType type = DType::f32);
    // Memory that outlives the step: bound to a Buffer with Plan::bind, or allocated by the Plan and written with
    // Plan::write.
    Tensor input(Shape shape, std::string name, DType type = DType::f32);
    Tensor constant(float value, Shape shape);
    void set_uniform(Tensor t) { tensors_[t.id].uniform = true; } // by the op that makes it so
    // The same bytes under another shape, from `offset` bytes on. Not differentiated: see ops.hpp's reshape.
    Tensor view(Tensor of, Shape shape, uint64_t offset = 0, std::string name = "");
    void add(Node node);
    // Makes the tensor readable with Plan::read after a step.
    void keep(Tensor t);

    const TensorInfo& info(Tensor t) const { return tensors_[t.id]; }
    const Shape& shape(Tensor t) const { return tensors_[t.id].shape; }
    int64_t dim(Tensor t, int axis) const; // negative axes count from the end
    void rename(Tensor t, std::string name) { tensors_[t.id].name = std::move(name); }

    // Adds the nodes that compute d sum(y * seed) / d wrt[i] and returns those gradients, f32 with wrt's shapes.
    // Without a seed y must be one element. Where into[i] is given the gradient is written there (an external tensor
    // or a view of one; of a tensor that wrt names twice the first). Several uses accumulate in a fixed order. Errors: a node on the way that has no
    // adjoint.
    std::vector<Tensor> backward(Tensor y, std::span<const Tensor> wrt, std::span<const Tensor> into = {},
                                 Tensor seed = {});

    const std::vector<TensorInfo>& tensors() const { return tensors_; }
    const std::vector<Node>& nodes() const { return nodes_; }

  private:
    Tensor place(Tensor gradient, Tensor into);
    std::vector<TensorInfo> tensors_;
    std::vector<Node> nodes_;
};

struct KernelTime {
    std::string name;
    int calls = 0;
    double ms = 0;
};

struct PlanOptions {
    bool fuse = true;        // elementwise nodes become steps of the kernels that compute their input
    bool alias = true;       // tensors with disjoint lifetimes share memory; off, with fuse off, to read all of them
    uint32_t max_steps = 1;  // steps in one submission: slots in the StepParams ring
    DType precision = DType::f32;   // f16, bf16: so are intermediate tensors of which all kernels can be; sums stay f32
    const Tuning* tuning = nullptr; // read while the plan is built
};

// A lowered Graph on a Device: memory, order, barriers, descriptor sets, command buffers.
// Building one lowers and lays out, and allocates nothing; the first run allocates. The Device must outlive it.
class Plan {
  public:
    Plan(Device& device, const Graph& graph, PlanOptions options = {});
    ~Plan();
    Plan(const Plan&) = delete;

    // Uses the caller's memory for an external tensor. Before the first run; the Buffer must outlive the Plan.
    void bind(Tensor t, const Buffer& buffer, uint64_t offset = 0);

    // Runs params.size() <= max_steps steps in one submission, slot i with params[i]. Returns at once.
    // Waits first if an earlier submission is under way. With `profile` every kernel is timed (and serialised).
    void submit(std::span<const StepParams> params, bool profile = false);
    bool done();
    void wait(); // errors: Status::device (lost, timed out)
    void run(const StepParams& params = {}) { // submit one step and wait
        submit({&params, 1});
        wait();
    }
    // Copies between the host and an external or kept tensor. Waits for the submission under way.
    void write(Tensor t, std::span<const std::byte> data);
    void read(Tensor t, std::span<std::byte> data);
    // The same in f32, which is rounded to or widened from 16 bits where the tensor has them.
    void write(Tensor t, std::span<const float> data);
    std::vector<float> read(Tensor t);

    // How long the device worked on the last submission, by its own clock; 0 where it has none.
    double gpu_seconds();
    // GPU time of the last submission by kernel name, if it was profiled; empty without timestamps.
    std::vector<KernelTime> profile();

    // The same by product, for those that had a choice of kernels; and the kernels that each could have.
    std::map<std::string, double> product_ms();
    const Choices& choices() const;
    const std::map<std::string, Choices>& decisions() const; // see Lowering::decide
    const Tuning& chosen() const; // what the Tuning has changed: another plan with it is the same

    // Exact before anything is allocated, in bytes.
    struct Footprint {
        uint64_t arena = 0;     // intermediate tensors, after sharing
        uint64_t unshared = 0;  // what the arena would be without sharing
        uint64_t live = 0;      // what lives at once where that is most: no arena can be smaller
        uint64_t external = 0;  // inputs and constants that the plan allocates itself (not those bound)
        uint64_t rings = 0;     // StepParams
        uint64_t total() const { return arena + external + rings; }
    };
    Footprint memory() const;
    size_t dispatch_count() const;
    size_t level_count() const; // dispatches between two barriers form a level
    // Names of the arena's and kept tensors in the order in which they are written; see first_nonfinite.
    // With alias off, after a run: the first tensor that holds an infinity or NaN, empty if none does.
    std::string first_nonfinite();
    std::string describe() const; // one line per dispatch, for `vkvae info --plan` and bug reports

  private:
    struct State;
    std::unique_ptr<State> state_;
};

// ---- choosing by measurement: graph/tune.cpp ----------------------------------------------------------------------

struct TuneOptions {
    double seconds = 20;    // nothing new is tried after that
    size_t candidates = 3;  // of each product, of each decision
    bool one_by_one = false; // decisions also by themselves, where their family together gains nothing
    int repeats = 3;        // timed runs of each, at least
    DType precision = DType::f32;     // of the plan
    std::function<void(Plan&)> bind;  // gives a new plan its inputs
    std::vector<Tensor> results;      // what must come out the same; external or kept
    StepParams params = {};
};
struct TuneReport {
    Tuning tuning;              // for everything that had a choice; empty if there was none
    size_t changed = 0;         // of those, where it is another than without a tuning
    double before_ms = 0, after_ms = 0; // the whole graph without and with it
    double seconds = 0;         // that it took to find out
    std::string not_kept;       // why store_tuning failed afterwards, if it did: set by its caller
    size_t refused = 0;         // candidates that failed, or gave other results than the first
};
// Runs the graph with one candidate after the other: first all kernels of products, by their own time, which count only
// if the whole plan is faster for them; then decisions, by the whole plan's time and nothing else. A run must not
// change what the next one reads. Blocks; compiles many kernels; one plan at a time is in memory. Without timestamps
// there are no kernels' own times, and the host's clock times the plan. Errors: those of the plan as it would be
// without a tuning; a candidate that fails is refused.
TuneReport tune(Device& device, const Graph& graph, const TuneOptions& options);

// What tune() found earlier on this device with this driver, kept in DeviceOptions::cache_dir; empty if there is none or
// it cannot be read. Storing adds to what is there, and does nothing without a cache_dir. Errors: Status::runtime if the
// file cannot be written.
Tuning load_tuning(const Device& device);
void store_tuning(const Device& device, const Tuning& tuning);
// What a Tuning is for: the names that this version gives to choices, the device and its driver.
std::string tuning_key(const Device& device);

} // namespace vkvae
