// Tensors and nodes: the description of a computation, with its shape bookkeeping.
#include "vkvae/graph.hpp"

namespace vkvae {

int64_t element_count(const Shape& shape) {
    int64_t count = 1;
    for (int64_t size : shape)
        count *= size;
    return count;
}

std::string to_text(const Shape& shape) {
    std::ostringstream out;
    out << "(";
    for (size_t i = 0; i < shape.size(); i++)
        out << (i ? ", " : "") << shape[i];
    out << ")";
    return out.str();
}

const char* type_name(DType type) {
    static const char* const names[] = {"f32", "f16", "bf16", "u32", "u8"};
    return names[size_t(type)];
}

uint64_t byte_count(const Shape& shape, DType type) {
    return uint64_t(element_count(shape)) * (type == DType::u8 ? 1 : is_16_bit(type) ? 2 : 4);
}

namespace {

// Kernels index elements with 32 bits.
constexpr int64_t kMostElements = int64_t(1) << 31;

void check_shape(const Shape& shape, const std::string& name) {
    int64_t count = 1;
    for (int64_t size : shape) {
        require(size > 0, "tensor '", name, "' has the shape ", to_text(shape), "; every size must be positive");
        require(size < kMostElements && count * size < kMostElements, "tensor '", name, "' of shape ", to_text(shape),
                " has more than 2^31 elements");
        count *= size;
    }
}

} // namespace

Tensor Graph::tensor(Shape shape, std::string name, DType type) {
    check_shape(shape, name);
    Tensor t = {uint32_t(tensors_.size())};
    TensorInfo info;
    info.name = std::move(name);
    info.shape = std::move(shape);
    info.type = type;
    info.storage = t;
    tensors_.push_back(std::move(info));
    return t;
}

Tensor Graph::input(Shape shape, std::string name, DType type) {
    Tensor t = tensor(std::move(shape), std::move(name), type);
    tensors_[t.id].external = true;
    return t;
}

Tensor Graph::constant(float value, Shape shape) {
    Tensor t = input(std::move(shape), "constant");
    tensors_[t.id].constant = value;
    return t;
}

Tensor Graph::view(Tensor of, Shape shape, uint64_t offset, std::string name) {
    TensorInfo base = info(of);
    Tensor t = tensor(std::move(shape), name.empty() ? base.name : std::move(name), base.type);
    TensorInfo& made = tensors_[t.id];
    require(offset + made.bytes() <= base.bytes(), "view of '", base.name, "' ", to_text(base.shape), " as ",
            to_text(made.shape), " at byte ", offset, " goes past its end");
    made.storage = base.storage;
    made.offset = base.offset + offset;
    made.external = base.external;
    made.constant = base.constant;
    made.uniform = base.uniform;
    return t;
}

void Graph::add(Node node) {
    for (Tensor t : node.in)
        require(t.id < tensors_.size(), "op ", node.op, ": an input is not a tensor of this graph");
    for (Tensor t : node.out)
        require(t.id < tensors_.size(), "op ", node.op, ": an output is not a tensor of this graph");
    nodes_.push_back(std::move(node));
}

void Graph::keep(Tensor t) { tensors_[info(t).storage.id].keep = true; }

int64_t Graph::dim(Tensor t, int axis) const {
    const Shape& s = shape(t);
    int at = axis < 0 ? axis + int(s.size()) : axis;
    require(at >= 0 && at < int(s.size()), "tensor '", info(t).name, "' ", to_text(s), " has no axis ", axis);
    return s[size_t(at)];
}

} // namespace vkvae
