// A PixelCNN over maps of codes, trained with the model and outside of its gradient: p(c) = product over places in
// reading order, and over levels at a place, of p(c_i | all before it).
//
//   h = sum over levels of E_l[c_l];  h = conv 7x7 of mask A (h);  h += conv 3x3 of mask B (relu(h)), `layers` times
//   logits_l = relu(h + sum over j < l of F_j[c_j]) W_l + b_l
//
// Mask A hides a place from itself, mask B only what comes after it. Plain, so it has the blind spot to the upper right
// that its authors removed with a second stack later; the 7x7 kernel covers most of it on maps as small as codes have.
// Source: van den Oord, Kalchbrenner and Kavukcuoglu 2016, "Pixel Recurrent Neural Networks", sections 3.3 and 3.4.
//
// Without it codes are drawn independently, each with the frequency that training has seen last.
#include <algorithm>
#include <cmath>

#include "ops/philox.hpp"
#include "vae/quantizer.hpp"

namespace vkvae {
namespace {

constexpr int64_t kFirstKernel = 7, kKernel = 3;

Tensor table(Vae::Scope& scope, const std::string& name, int64_t rows, int64_t columns) {
    Tensor t = scope.parameter(name, {rows, columns}, {rows, columns}, {rows, columns}, {0, 1}, columns);
    if (scope.definitions)
        scope.definitions->back().narrow = false; // its rows are looked up
    return t;
}

Tensor masked_conv(Vae::Scope& scope, const std::string& name, Tensor x, int64_t kernel, bool centre) {
    Graph& g = scope.graph;
    int64_t c = g.dim(x, 3), fan_in = c * kernel * kernel;
    Shape disk = {c, c, kernel, kernel};
    Tensor w = scope.parameter(name + ".weight", {kernel, kernel, c, c}, disk, disk, {2, 3, 1, 0}, fan_in);
    if (scope.definitions)
        scope.definitions->back().narrow = false; // it is masked first, in f32
    Tensor b = scope.parameter(name + ".bias", {c}, {c}, {c}, {0}, fan_in);
    return conv2d(g, x, causal_mask(g, w, centre), b, Conv2d::same_sides(1, int(kernel / 2)));
}

} // namespace

std::vector<Tensor> placeholder_codes(Graph& g, const VqConfig& vq) {
    std::vector<Tensor> codes;
    for (int64_t level = 0; level < vq.levels; level++)
        codes.push_back(g.input({vq.positions()}, "codes", DType::u32));
    return codes;
}

std::vector<Tensor> build_code_prior(Vae::Scope& scope, const VqConfig& vq, std::span<const Tensor> codes) {
    Graph& g = scope.graph;
    scope.prefix = "prior.";
    int64_t c = vq.prior_channels, rows = g.dim(codes[0], 0);
    Tensor h;
    for (size_t l = 0; l < codes.size(); l++) {
        Tensor one = embedding(g, table(scope, concat_text("embeddings.", l, ".weight"), vq.codes, c), codes[l]);
        h = h ? add(g, h, one) : one;
    }
    h = reshape(g, h, {rows / vq.positions(), vq.height, vq.width, c});
    h = masked_conv(scope, "first", h, kFirstKernel, false);
    for (int64_t i = 0; i < vq.prior_layers; i++)
        h = add(g, masked_conv(scope, concat_text("layers.", i), activate(g, h, Activation::relu), kKernel, true), h);
    h = reshape(g, h, {rows, c});
    std::vector<Tensor> logits;
    for (size_t l = 0; l < codes.size(); l++) {
        if (l > 0) {
            Tensor before = table(scope, concat_text("levels.", l - 1, ".weight"), vq.codes, c);
            h = add(g, h, embedding(g, before, codes[l - 1]));
        }
        Tensor w = scope.parameter(concat_text("heads.", l, ".weight"), {c, vq.codes}, {vq.codes, c}, {vq.codes, c},
                                   {1, 0}, c);
        Tensor b = scope.parameter(concat_text("heads.", l, ".bias"), {vq.codes}, {vq.codes}, {vq.codes}, {0}, c);
        logits.push_back(linear(g, activate(g, h, Activation::relu), w, b));
    }
    return logits;
}

namespace {

// The code that u in [0, 1) falls on, of probabilities in proportion to exp(score / temperature); at 0 the likeliest.
uint32_t draw_code(std::span<const float> scores, float temperature, float u, std::vector<double>& weights) {
    auto best = std::max_element(scores.begin(), scores.end());
    if (temperature <= 0)
        return uint32_t(best - scores.begin());
    double total = 0;
    weights.clear();
    for (float score : scores) {
        weights.push_back(std::exp((double(score) - double(*best)) / double(temperature)));
        total += weights.back();
    }
    double left = double(u) * total;
    for (size_t k = 0; k < weights.size(); k++) {
        left -= weights[k];
        if (left < 0)
            return uint32_t(k);
    }
    return uint32_t(best - scores.begin()); // rounding has used up the last of it
}

// Number of the draw of one code: a function of the sample and the place alone, not of how many there are.
uint32_t draw_number(const VqConfig& vq, int64_t sample, int64_t level, int64_t place) {
    return uint32_t((sample * vq.levels + level) * vq.positions() + place);
}

std::vector<uint32_t> draw_independent(const VqConfig& vq, const Parameters& parameters, int64_t n, uint64_t seed,
                                       float temperature) {
    std::vector<uint32_t> codes(size_t(n * vq.levels * vq.positions()));
    std::vector<double> weights;
    for (int64_t level = 0; level < vq.levels; level++) {
        std::vector<float> scores = parameters.read(parameter_named(parameters, codebook_name(level, "frequencies")));
        for (float& f : scores)
            f = std::log(std::max(f, 1e-30f));
        for (int64_t i = 0; i < n; i++)
            for (int64_t place = 0; place < vq.positions(); place++) {
                uint32_t at = draw_number(vq, i, level, place);
                codes[at] = draw_code(scores, temperature, random_uniform(seed, Stream::sample, 0, 0, at), weights);
            }
    }
    return codes;
}

} // namespace

std::vector<uint32_t> draw_codes(const Vae& vae, const Parameters& parameters, int64_t n, int64_t batch, uint64_t seed,
                                 float temperature) {
    const VqConfig& vq = vae.config().vq;
    require(n >= 0 && n <= (int64_t(1) << 32) / (vq.levels * vq.positions()), n,
            " samples are more than the generator can count");
    if (vq.prior_channels == 0)
        return draw_independent(vq, parameters, n, seed, temperature);
    Graph g;
    Weights w = vae.add_weights(g);
    std::vector<Tensor> inputs;
    for (int64_t level = 0; level < vq.levels; level++)
        inputs.push_back(g.input({batch * vq.positions()}, "codes", DType::u32));
    std::vector<Tensor> logits = vae.code_logits(g, w, inputs);
    for (Tensor t : logits)
        g.keep(t);
    Plan plan(parameters.device(), g);
    plan.bind(w.flat, parameters.buffer(), parameters.offset_bytes(Parameters::Region::weights));

    std::vector<uint32_t> codes(size_t(n * vq.levels * vq.positions()));
    std::vector<double> weights;
    for (int64_t first = 0; first < n; first += batch) {
        int64_t count = std::min(batch, n - first);
        std::vector<uint32_t> empty(size_t(batch * vq.positions()));
        std::vector<std::vector<uint32_t>> maps(size_t(vq.levels), empty);
        for (int64_t place = 0; place < vq.positions(); place++)
            for (int64_t level = 0; level < vq.levels; level++) {
                std::vector<uint32_t>& map = maps[size_t(level)];
                for (size_t l = 0; l < maps.size(); l++)
                    plan.write(inputs[l], std::as_bytes(std::span(maps[l])));
                plan.run();
                std::vector<float> logit = plan.read(logits[size_t(level)]);
                std::span<const float> scores(logit);
                for (int64_t i = 0; i < count; i++) {
                    int64_t row = i * vq.positions() + place;
                    uint32_t at = draw_number(vq, first + i, level, place);
                    float u = random_uniform(seed, Stream::sample, 0, 0, at);
                    codes[at] = map[size_t(row)] = draw_code(scores.subspan(size_t(row * vq.codes), size_t(vq.codes)),
                                                             temperature, u, weights);
                }
            }
    }
    return codes;
}

} // namespace vkvae
