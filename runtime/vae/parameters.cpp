// The model's parameters in one flat buffer, and their way to and from PyTorch's layouts.
#include <cmath>

#include "io/float16.hpp"
#include "ops/philox.hpp"
#include "vkvae/vae.hpp"

namespace vkvae {
namespace {

// A binding must start at a multiple of the device's alignment, at most 256 bytes by the specification; in 16 bits too.
constexpr int64_t kAlignElements = 128;

// Calls visit(inside, disk) for every element: the flat index in the kernel's order and in PyTorch's.
template <class Visit> void each_element(const Parameter& p, Visit visit) {
    size_t rank = p.order.size();
    std::vector<int64_t> disk_stride(rank, 1), stride(rank), size(rank), index(rank, 0);
    for (size_t i = rank; i-- > 1;)
        disk_stride[i - 1] = disk_stride[i] * p.disk_view[i];
    for (size_t i = 0; i < rank; i++)
        stride[i] = disk_stride[size_t(p.order[i])], size[i] = p.disk_view[size_t(p.order[i])];
    int64_t disk = 0;
    for (int64_t inside = 0; inside < p.count(); inside++) {
        visit(inside, disk);
        for (size_t i = rank; i-- > 0;) { // count up in the kernel's order, carrying
            disk += stride[i];
            if (++index[i] < size[i])
                break;
            disk -= stride[i] * size[i];
            index[i] = 0;
        }
    }
}

// The shape of the matrix that p is columns of, or of p.
Shape shape_in_memory(const Parameter& p) {
    Shape shape = p.shape;
    if (p.row)
        shape.back() = p.row;
    return shape;
}

// Element i of p's own shape in that.
size_t in_memory(const Parameter& p, int64_t i) {
    return size_t(p.row ? i / p.shape.back() * p.row + p.column + i % p.shape.back() : i);
}

// Where that begins, from the start of the flat buffer.
int64_t begin_in_memory(const Parameter& p) { return p.offset - p.column; }

// The parameter before number i whose columns end where those of i begin.
size_t left_neighbour(std::span<const Parameter> list, size_t i) {
    const Parameter& p = list[i];
    for (size_t k = i; k-- > 0;)
        if (list[k].row == p.row && shape_in_memory(list[k]) == shape_in_memory(p) &&
            list[k].column + list[k].shape.back() == p.column)
            return k;
    fail(Status::usage, "parameter ", p.name, " begins at column ", p.column, ", where no other ends");
}

} // namespace

Parameters::Parameters(std::vector<Parameter> definitions) : list_(std::move(definitions)) {
    for (bool trained : {true, false}) {
        for (size_t i = 0; i < list_.size(); i++) {
            Parameter& p = list_[i];
            if (p.trained != trained)
                continue;
            if (p.column > 0) {
                p.offset = begin_in_memory(list_[left_neighbour(list_, i)]) + p.column;
                continue;
            }
            p.offset = padded_;
            padded_ += (element_count(shape_in_memory(p)) + kAlignElements - 1) / kAlignElements * kAlignElements;
        }
        trained_ = trained ? padded_ : trained_;
    }
}

std::vector<Tensor> Parameters::views(Graph& g, Tensor flat, Tensor narrow) const {
    std::vector<Tensor> all;
    for (size_t i = 0; i < list_.size(); i++) {
        const Parameter& p = list_[i];
        if (p.column > 0) {
            all.push_back(all[left_neighbour(list_, i)]);
            g.rename(all.back(), concat_text(g.info(all.back()).name, " | ", p.name));
            continue;
        }
        bool narrowed = narrow && p.narrow;
        all.push_back(g.view(narrowed ? narrow : flat, shape_in_memory(p), uint64_t(p.offset) * (narrowed ? 2 : 4), p.name));
    }
    return all;
}

int64_t Parameters::count() const {
    int64_t total = 0;
    for (const Parameter& p : list_)
        total += p.count();
    return total;
}

uint64_t Parameters::bytes(bool training, DType precision) const {
    uint64_t mixed = is_16_bit(precision) ? uint64_t(padded_) * 2 + sizeof(std::array<float, 4>) : 0;
    return uint64_t(padded_) * 4 * (training ? 4 : 1) + mixed;
}

void Parameters::allocate(Device& device, bool training, DType precision) {
    device_ = &device;
    training_ = training;
    precision_ = precision;
    buffer_ = Buffer(device, bytes(training, precision), Memory::device, "parameters");
    device.fill(buffer_, 0, buffer_.bytes, 0);
    if (precision == DType::f16)
        set_loss_scale({kFirstLossScale, 0, 0});
}

std::array<float, 3> Parameters::loss_scale() const {
    require(precision_ == DType::f16, "only f16 has a loss scale");
    std::array<float, 3> state;
    device().download(buffer_, loss_scale_offset(), std::as_writable_bytes(std::span(state)));
    return state;
}

void Parameters::set_loss_scale(const std::array<float, 3>& state) {
    require(precision_ == DType::f16, "only f16 has a loss scale");
    device().upload(buffer_, loss_scale_offset(), std::as_bytes(std::span(state)));
}

// Weights from element `first` on, and their copy.
void Parameters::upload(uint64_t first, std::span<const float> weights) {
    device().upload(buffer_, first * 4, std::as_bytes(weights));
    if (!is_16_bit(precision_))
        return;
    std::vector<uint16_t> narrow(weights.size());
    for (size_t i = 0; i < weights.size(); i++)
        narrow[i] = precision_ == DType::f16 ? to_f16(weights[i]) : to_bf16(weights[i]);
    if (narrow.size() % 2 != 0) // of padding: copies are of whole words
        narrow.push_back(0);
    device().upload(buffer_, narrow_offset() + first * 2, std::as_bytes(std::span(narrow)));
}

void Parameters::initialise(uint64_t seed) {
    for (size_t k = 0; k < list_.size(); k++) {
        const Parameter& p = list_[k];
        std::vector<float> values(size_t(p.count()), p.fill);
        if (p.fan_in > 0) {
            float bound = p.gain / std::sqrt(float(p.fan_in));
            for (size_t i = 0; i < values.size(); i++) // by the place on disk: independent of the kernel's layout
                values[i] = bound * (2 * random_uniform(seed, Stream::init, uint32_t(k), 0, uint32_t(i)) - 1);
        }
        write(p, values);
    }
}

Device& Parameters::device() const {
    require(device_ != nullptr, "these parameters have no memory yet: Parameters::allocate");
    return *device_;
}

std::vector<float> Parameters::read(const Parameter& p, Region region) const {
    std::vector<float> memory(size_t(element_count(shape_in_memory(p)))), values(size_t(p.count()));
    device().download(buffer_, offset_bytes(region) + uint64_t(begin_in_memory(p)) * 4,
                      std::as_writable_bytes(std::span(memory)));
    each_element(p, [&](int64_t from, int64_t to) { values[size_t(to)] = memory[in_memory(p, from)]; });
    return values;
}

std::vector<float> Parameters::read(const Parameter& p) const { return read(p, Region::weights); }

std::vector<float> Parameters::read_gradient(const Parameter& p) const {
    require(training_, "these parameters have no gradients");
    return read(p, Region::gradients);
}

void Parameters::write(const Parameter& p, std::span<const float> values) {
    require(int64_t(values.size()) == p.count(), "parameter ", p.name, " has ", p.count(), " numbers, ",
            values.size(), " are given");
    std::vector<float> memory(size_t(element_count(shape_in_memory(p))));
    if (p.row) // the other columns stay
        device().download(buffer_, uint64_t(begin_in_memory(p)) * 4, std::as_writable_bytes(std::span(memory)));
    each_element(p, [&](int64_t to, int64_t from) { memory[in_memory(p, to)] = values[size_t(from)]; });
    upload(uint64_t(begin_in_memory(p)), memory);
}

std::vector<float> Parameters::read(Region region) const {
    require(region == Region::weights || training_, "these parameters have only weights");
    std::vector<float> values(static_cast<size_t>(padded_));
    device().download(buffer_, offset_bytes(region), std::as_writable_bytes(std::span(values)));
    return values;
}

void Parameters::write(Region region, std::span<const float> values) {
    require(int64_t(values.size()) == padded_ && (region == Region::weights || training_),
            "Parameters::write: a region has ", padded_, " numbers, ", values.size(), " are given");
    if (region == Region::weights)
        return upload(0, values);
    device().upload(buffer_, offset_bytes(region), std::as_bytes(values));
}

} // namespace vkvae
