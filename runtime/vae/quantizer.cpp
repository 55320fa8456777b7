// The vq posterior: encoder -> map of vectors -> codes -> decoder, and how its codebooks start and move.
//
//   nll = -log p(x | q),  loss = nll + sum over the places of (commitment |z - sg(e)|^2 [+ |sg(z) - e|^2])
//
// Sums over places and numbers, means over the batch, so that the loss is in nats as all others are. PyTorch codebases
// take F.mse_loss for both terms, which divides by the number of pixels here and by that of latents there: their
// commitment c is our c (pixels / latents) for a Gaussian of sigma^2 = 1/2, and more for sharper likelihoods.
//
// kl is that of one code against a uniform prior, log K a place and level, which no gradient reaches; or with a
// PixelCNN its nll of the codes, which is the loss that it learns from, beside and without the encoder. Either way nll
// + kl bounds -log p(x), and is what a lossless code of x would take. Source: van den Oord, Vinyals and Kavukcuoglu
// 2017, "Neural Discrete Representation Learning", sections 3.1 and 3.2.
#include "vae/quantizer.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "ops/philox.hpp"

namespace vkvae {

Tensor project_to_codes(Vae::Scope& scope, const VqConfig& vq, const Flow& flow) {
    Graph& g = scope.graph;
    scope.prefix = "quantizer.projection.";
    const Shape s = g.shape(flow.x);
    if (s.size() == 2)
        return reshape(g, dense(scope, flow, vq.dim, true, Activation::none, {}), {s[0], 1, 1, vq.dim});
    Shape disk = {vq.dim, s[3], 1, 1};
    Tensor w = scope.parameter("weight", {1, 1, s[3], vq.dim}, disk, disk, {2, 3, 1, 0}, s[3]);
    Tensor b = scope.parameter("bias", {vq.dim}, {vq.dim}, {vq.dim}, {0}, s[3]);
    return conv2d(g, flow.x, w, b, {});
}

void set_map(Graph& g, ModelConfig& config, Tensor encoded) {
    config.vq.height = g.dim(encoded, 1);
    config.vq.width = g.dim(encoded, 2);
    config.latent = config.vq.positions() * config.vq.dim;
}

Tensor as_map(Graph& g, const VqConfig& vq, Tensor z) {
    if (vq.positions() == 1)
        return z;
    return reshape(g, z, {g.dim(z, 0), vq.height, vq.width, vq.dim});
}

std::string codebook_name(int64_t level, const char* what) {
    return concat_text("quantizer.levels.", level, ".", what);
}

std::vector<Codebook> build_codebooks(Vae::Scope& scope, const VqConfig& vq) {
    std::vector<Codebook> books;
    scope.prefix = "";
    for (int64_t level = 0; level < vq.levels; level++) {
        Shape shape = {vq.codes, vq.dim}, row = {vq.codes};
        Codebook book;
        book.codes = scope.parameter(codebook_name(level, "codes"), shape, shape, shape, {0, 1}, vq.dim);
        if (scope.definitions) {
            scope.definitions->back().narrow = false; // what moves them writes f32
            scope.definitions->back().trained = !vq.average;
        }
        book.frequencies = scope.parameter(codebook_name(level, "frequencies"), row, row, row, {0}, 0,
                                           1.0f / float(vq.codes));
        if (scope.definitions)
            scope.definitions->back().trained = false;
        books.push_back(book);
    }
    return books;
}

Quantized Vae::quantize(Graph& g, const Weights& w, Tensor encoded) const {
    const VqConfig& vq = config_.vq;
    Scope of_model = scope(g, w);
    std::vector<Tensor> tables;
    for (const Codebook& book : build_codebooks(of_model, vq))
        tables.push_back(book.codes);
    Tensor rows = reshape(g, encoded, {g.dim(encoded, 0) * vq.positions(), vq.dim});
    return vkvae::quantize(g, rows, tables, {.commitment = vq.commitment, .trains_codebooks = !vq.average});
}

std::vector<Tensor> Vae::code_logits(Graph& g, const Weights& w, std::span<const Tensor> codes) const {
    Scope of_model = scope(g, w);
    return build_code_prior(of_model, config_.vq, codes);
}

Tensor Vae::code_nll(Graph& g, const Weights& w, std::span<const Tensor> codes) const {
    const VqConfig& vq = config_.vq;
    int64_t n = g.dim(codes[0], 0) / vq.positions();
    if (vq.prior_channels == 0)
        return g.constant(float(double(vq.positions()) * std::log(double(vq.codes))), {n, vq.levels});
    std::vector<Tensor> logits = code_logits(g, w, codes);
    Tensor all;
    for (size_t level = 0; level < codes.size(); level++) {
        Tensor nll = reshape(g, cross_entropy(g, logits[level], codes[level]), {n, vq.positions()});
        Tensor one = reshape(g, sum(g, nll, 1, 1), {n, 1});
        all = all ? concat(g, all, one) : one;
    }
    return all;
}

Elbo Vae::elbo_vq(Graph& g, const Weights& w, Tensor x, Tensor seen) const {
    const VqConfig& vq = config_.vq;
    Elbo e;
    float per_sample = 1.0f / float(g.dim(x, 0));
    Quantized q = quantize(g, w, encode(g, w, seen));
    e.z = reshape(g, q.z, {g.dim(x, 0), config_.latent});
    e.prediction = decode(g, w, e.z);
    e.nll = sum(g, nll_parts(g, w, x, e.prediction, per_sample));
    e.loss = add(g, e.nll, scale(g, sum(g, q.error), per_sample));
    Tensor of_codes = code_nll(g, w, q.codes);
    if (vq.prior_channels > 0) {
        e.kl_dims = vkvae::mean(g, of_codes, 0, 1);
        e.kl = sum(g, e.kl_dims);
        e.loss = add(g, e.loss, e.kl);
    } else {
        e.kl_dims = g.constant(*g.info(of_codes).constant, {vq.levels});
        e.kl = g.constant(*g.info(of_codes).constant * float(vq.levels), {1});
    }
    for (size_t level = 0; level < q.codes.size(); level++) {
        Tensor hot = one_hot(g, q.codes[level], vq.codes);
        e.levels.push_back({q.given[level], hot, sum(g, hot, 0, 1)});
        Tensor one = perplexity(g, e.levels.back().counts);
        e.perplexity = e.perplexity ? concat(g, e.perplexity, one) : one;
    }
    g.rename(e.nll, "nll");
    g.rename(e.loss, "loss");
    return e;
}

void Vae::update_codebooks(Graph& g, const Weights& w, const Elbo& e, Tensor control) const {
    const VqConfig& vq = config_.vq;
    Scope of_model = scope(g, w);
    std::vector<Codebook> books = build_codebooks(of_model, vq);
    for (size_t i = 0; i < books.size(); i++)
        update_codebook(g, {books[i].codes, books[i].frequencies, control, e.levels[i].counts}, e.levels[i].given,
                        e.levels[i].one_hot,
                        {.decay = vq.decay,
                         .restart = vq.restart,
                         .average = vq.average,
                         .first_draw = uint32_t(int64_t(i) * vq.codes)});
}

const Parameter& parameter_named(const Parameters& parameters, const std::string& name) {
    for (const Parameter& p : parameters.list())
        if (p.name == name)
            return p;
    fail(Status::runtime, "the model has no parameter ", name);
}

namespace {

// What the encoder makes of some samples, rows of D numbers: as many as a good choice of codes needs.
std::vector<float> encode_some(const Parameters& parameters, const Vae& vae, const DataView& data, uint64_t seed) {
    const VqConfig& vq = vae.config().vq;
    constexpr int64_t kRowsPerCode = 8, kMostRows = 8192, kBatch = 64;
    int64_t rows = std::max(vq.codes, std::min(kRowsPerCode * vq.codes, kMostRows));
    int64_t samples = std::min(data.count, (rows + vq.positions() - 1) / vq.positions());
    int64_t batch = std::min(samples, kBatch);
    Graph g;
    Tensor source = g.input({batch, data.width}, "data", data.type);
    Tensor indices = g.input({1, batch}, "indices", DType::u32);
    Weights w = vae.add_weights(g);
    Tensor encoded = vae.encode(g, w, gather(g, source, indices));
    g.keep(encoded);
    Plan plan(parameters.device(), g);
    plan.bind(w.flat, parameters.buffer(), parameters.offset_bytes(Parameters::Region::weights));
    std::vector<uint32_t> order = permutation(uint32_t(data.count), seed, 0), identity;
    for (int64_t i = 0; i < batch; i++)
        identity.push_back(uint32_t(i));
    plan.write(indices, std::as_bytes(std::span(identity)));
    std::vector<std::byte> piece(size_t(batch) * data.row_bytes());
    std::vector<float> all;
    for (int64_t first = 0; first < samples; first += batch) {
        int64_t count = std::min(batch, samples - first);
        for (int64_t i = 0; i < count; i++)
            std::memcpy(piece.data() + uint64_t(i) * data.row_bytes(),
                        data.bytes.data() + order[size_t(first + i)] * data.row_bytes(), data.row_bytes());
        plan.write(source, std::span<const std::byte>(piece));
        plan.run();
        std::vector<float> made = plan.read(encoded);
        all.insert(all.end(), made.begin(), made.begin() + count * vae.config().latent);
    }
    return all;
}

double squared_distance(const float* a, const float* b, int64_t dim) {
    double sum = 0;
    for (int64_t d = 0; d < dim; d++)
        sum += (double(a[d]) - b[d]) * (double(a[d]) - b[d]);
    return sum;
}

// Rows far from each other: each is drawn with a probability in proportion to its squared distance from those before
// it. Takes from each row its nearest code afterwards. Arthur and Vassilvitskii 2007, "k-means++".
std::vector<float> choose_codes(std::vector<float>& rows, const VqConfig& vq, uint64_t seed, uint32_t level) {
    size_t count = rows.size() / size_t(vq.dim);
    std::vector<float> codes;
    std::vector<double> distance(count, std::numeric_limits<double>::infinity());
    std::vector<size_t> nearest(count, 0);
    for (int64_t k = 0; k < vq.codes; k++) {
        double total = 0, u = random_uniform(seed, Stream::codebook, level, 1, uint32_t(k));
        for (double d : distance)
            total += d;
        size_t chosen = std::min(size_t(u * double(count)), count - 1); // the first; or all rows are codes already
        if (k > 0 && total > 0) {
            double left = u * total;
            for (chosen = 0; chosen + 1 < count && left >= distance[chosen]; chosen++)
                left -= distance[chosen];
        }
        codes.insert(codes.end(), rows.begin() + int64_t(chosen) * vq.dim, rows.begin() + int64_t(chosen + 1) * vq.dim);
        for (size_t i = 0; i < count; i++) {
            double d = squared_distance(&rows[i * size_t(vq.dim)], &codes[size_t(k * vq.dim)], vq.dim);
            if (d < distance[i]) {
                distance[i] = d;
                nearest[i] = size_t(k);
            }
        }
    }
    for (size_t i = 0; i < rows.size(); i++)
        rows[i] -= codes[nearest[i / size_t(vq.dim)] * size_t(vq.dim) + i % size_t(vq.dim)];
    return codes;
}

} // namespace

void initialise_codebooks(Parameters& parameters, const Vae& vae, const DataView& data, uint64_t seed) {
    const VqConfig& vq = vae.config().vq;
    std::vector<float> rows = encode_some(parameters, vae, data, seed);
    for (float value : rows)
        require_data(std::isfinite(value), "the encoder makes numbers that are not finite of the data");
    for (int64_t level = 0; level < vq.levels; level++)
        parameters.write(parameter_named(parameters, codebook_name(level, "codes")),
                         choose_codes(rows, vq, seed, uint32_t(level)));
}

} // namespace vkvae
