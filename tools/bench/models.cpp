// Whole models: training steps and decoders.
#include "bench/workload.hpp"

namespace vkvae {
namespace {

// Why a device cannot train this; empty if it can.
std::string too_large(Device& device, const Vae& vae, const TrainOptions& options, int64_t data_count) {
    try {
        uint64_t needs = train_memory(device, vae, options, data_count, DType::u8).total();
        uint64_t has = device.caps().heap_bytes;
        return needs <= has ? "" : concat_text("it needs ", needs >> 20, " MiB, the device has ", has >> 20);
    } catch (const Error& error) { // a tensor that no binding can see
        if (error.status() != Status::device)
            throw;
        return error.what();
    }
}

void add_step(std::vector<Workload>& list, const std::string& model, int64_t batch, bool heavy) {
    list.push_back({.name = "step/" + model, .whole = true, .prepare = [=](Device& device, const TrainOptions& how) {
                        Prepared p;
                        TrainOptions options = how;
                        options.batch = batch;
                        struct Training {
                            Vae vae;
                            Parameters parameters;
                            std::vector<std::byte> pixels;
                            std::unique_ptr<Trainer> trainer;
                        };
                        Vae vae(parse_model(preset_model(model)));
                        p.cannot = too_large(device, vae, options, 4 * batch);
                        if (!p.cannot.empty())
                            return p;
                        auto t = std::make_shared<Training>(Training{vae, vae.make_parameters(), {}, nullptr});
                        t->parameters.allocate(device, true, how.precision);
                        t->parameters.initialise(0);
                        DataView data = {{}, 4 * batch, vae.config().pixels(), DType::u8};
                        t->pixels.resize(size_t(data.count * data.width));
                        for (size_t i = 0; i < t->pixels.size(); i++)
                            t->pixels[i] = std::byte(256 * noise(i));
                        data.bytes = t->pixels;
                        t->trainer = std::make_unique<Trainer>(device, t->vae, t->parameters, data, options);
                        Graph g;
                        Weights w = vae.add_weights(g);
                        Elbo e = vae.elbo(g, w, g.input({batch, data.width}, "x"));
                        g.backward(e.loss, w.tensors);
                        p.run = [t](uint32_t n) {
                            double before = t->trainer->device_seconds();
                            t->trainer->run(n);
                            return t->trainer->device_seconds() - before;
                        };
                        p.most = 1u << 16; // the trainer submits as in real use
                        p.flops = product_flops(g);
                        // The batch, and w, m and v read and written; everything else could stay in a cache.
                        p.bytes = double(batch) * double(data.row_bytes()) + 6.0 * 4 * double(t->parameters.count());
                        p.levels = double(t->trainer->plan().level_count());
                        return p;
                    },
                    .heavy = heavy});
}

void add_decode(std::vector<Workload>& list, const std::string& model) {
    list.push_back({.name = "decode/" + model, .whole = true, .prepare = [=](Device& device, const TrainOptions& how) {
                        Vae vae(parse_model(preset_model(model)));
                        Graph g;
                        Weights w = vae.add_weights(g, how.precision);
                        Tensor z = g.input({kBatch, vae.config().latent}, "z");
                        Tensor images = vae.mean(g, vae.decode(g, w, z));
                        g.keep(images);
                        Prepared p = prepare_graph(device, g, how.precision);
                        double weights = 0;
                        for (const Parameter& parameter : vae.definitions())
                            if (parameter.name.starts_with("decoder"))
                                weights += double(byte_count(parameter.shape, parameter.narrow ? how.precision : DType::f32));
                        p.bytes = weights + double(g.info(z).bytes() + g.info(images).bytes());
                        return p;
                    }});
}

// The decoder of TAESD, which turns latents of latent diffusion into pictures: 64x64x4 -> 512x512x3, random weights.
// Source: https://github.com/madebyollin/taesd, taesd.py.
void add_taesd_decode(std::vector<Workload>& list) {
    list.push_back({.name = "decode/taesd", .whole = true, .prepare = [](Device& device, const TrainOptions& how) {
                        Graph g;
                        double weights = 0;
                        auto conv = [&](Tensor x, int64_t out, Activation activation, bool bias = true,
                                        bool upsample = false) {
                            Tensor w = g.input({3, 3, g.dim(x, 3), out}, "w", upsample ? DType::f32 : how.precision);
                            Tensor b = bias ? g.input({out}, "b") : Tensor{};
                            weights += double(g.info(w).bytes() + (bias ? g.info(b).bytes() : 0));
                            return upsample ? upsample2x_conv2d(g, x, w, b, activation)
                                            : conv2d(g, x, w, b, Conv2d::same_sides(1, 1), activation);
                        };
                        auto block = [&](Tensor x) {
                            Tensor y = conv(x, 64, Activation::relu);
                            y = conv(conv(y, 64, Activation::relu), 64, Activation::none);
                            return activate(g, add(g, y, x), Activation::relu);
                        };
                        Tensor z = g.input({1, 64, 64, 4}, "z");
                        Tensor x = scale(g, activate(g, scale(g, z, 1.0f / 3), Activation::tanh), 3);
                        x = conv(x, 64, Activation::relu);
                        for (int stage = 0; stage < 3; stage++) {
                            for (int i = 0; i < 3; i++)
                                x = block(x);
                            x = conv(x, 64, Activation::none, false, true);
                        }
                        Tensor picture = conv(block(x), 3, Activation::none);
                        g.keep(picture);
                        // Small enough for numbers to stay numbers through 30 layers.
                        Prepared p = prepare_graph(device, g, how.precision, 64, 0.07f);
                        p.bytes = weights + double(g.info(z).bytes() + g.info(picture).bytes());
                        return p;
                    }});
}

} // namespace

void add_models(std::vector<Workload>& list) {
    for (const char* model : {"mlp", "conv28", "conv64"})
        add_step(list, model, kBatch, false);
    add_step(list, "res128", 64, true);
    add_decode(list, "conv64");
    add_taesd_decode(list);
}

} // namespace vkvae
