// What somebody else's first program does: look for devices, then run y = 2 x + 1 on one.
#include <vkvae/ops.hpp>
#include <vkvae/version.hpp>

#include <cstdio>

int main() {
    std::vector<vkvae::DeviceInfo> devices = vkvae::Device::list();
    for (const vkvae::DeviceInfo& info : devices)
        std::printf("vkvae %s: device %u is %s\n", vkvae::kVersion, info.index, info.caps.name.c_str());

    std::unique_ptr<vkvae::Device> device = vkvae::Device::create();
    vkvae::Graph g;
    vkvae::Tensor x = g.input({4}, "x");
    vkvae::Tensor y = vkvae::scale(g, x, 2, 1);
    g.keep(y);
    vkvae::Plan plan(*device, g);
    const float values[] = {0, 1, -3, 0.5f};
    plan.write(x, values);
    plan.run();
    return plan.read(y) == std::vector<float>{1, 3, -5, 2} ? 0 : 1;
}
