// The library in one sitting: makes 28x28 pictures of random discs, trains the preset "mlp" on them for a few hundred
// steps, and prints how the loss falls and what a new picture, drawn from the model, looks like.
#include <vkvae/vae.hpp>

#include <cstdio>
#include <random>

namespace {

constexpr int kSide = 28, kPixels = kSide * kSide, kCount = 2048;

std::vector<std::byte> make_discs() { // (kCount, 28, 28, 1) u8
    std::mt19937 random(1);
    std::uniform_real_distribution<float> place(8, 20), size(3, 7);
    std::vector<std::byte> images;
    for (int i = 0; i < kCount; i++) {
        float cx = place(random), cy = place(random), r = size(random);
        for (int p = 0; p < kPixels; p++) {
            float dx = float(p % kSide) - cx, dy = float(p / kSide) - cy;
            images.push_back(std::byte(dx * dx + dy * dy < r * r ? 255 : 0));
        }
    }
    return images;
}

void train_and_draw() {
    auto device = vkvae::Device::create(); // the fastest there is
    std::printf("on %s\n", device->caps().name.c_str());

    vkvae::Vae vae(vkvae::parse_model(vkvae::preset_model("mlp")));
    vkvae::Parameters parameters = vae.make_parameters();
    parameters.allocate(*device, true);

    std::vector<std::byte> images = make_discs();
    vkvae::DataView data = {.bytes = images, .count = kCount, .width = kPixels};
    vkvae::initialise(parameters, vae, data, 0);
    vkvae::Trainer trainer(*device, vae, parameters, data, {.batch = 64});
    for (int i = 0; i < 6; i++) {
        vkvae::StepStats last = trainer.run(50).back();
        std::printf("step %3d  loss %6.1f = nll %6.1f + kl %4.1f nats\n", int(last.step) + 1, last.loss, last.nll,
                    last.kl);
    }

    vkvae::Sampler sampler(*device, vae, parameters, 1);
    std::vector<float> picture = sampler.decode(sampler.sample_latents(1, 0)); // (1, 28, 28, 1) in [0,1]
    for (int y = 0; y < kSide; y += 2, std::puts("")) // letters are twice as high as wide
        for (int x = 0; x < kSide; x++)
            std::putchar(" .:*#"[int(picture[size_t(y * kSide + x)] * 4.99f)]);
}

} // namespace

int main() {
    try {
        train_and_draw();
    } catch (const vkvae::Error& error) {
        std::fprintf(stderr, "toy: %s\n", error.what());
        return int(error.status());
    }
}
