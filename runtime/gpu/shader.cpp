// Reads the interface of a compute shader from its SPIR-V: the GLSL is the only truth, nothing is repeated in C++.
//
// Access flags come from the readonly/writeonly qualifiers, which glslang writes as NonWritable/NonReadable on the
// block's members; they decide the barriers. Source: SPIR-V specification, sections 2.3 (layout), 3.20 (decorations).
#include "gpu/shader.hpp"

#include <algorithm>
#include <unordered_map>

namespace vkvae {
namespace {

enum Opcode : uint16_t {
    OpEntryPoint = 15,
    OpCapability = 17,
    OpTypeInt = 21,
    OpTypeFloat = 22,
    OpTypeVector = 23,
    OpTypeImage = 25,
    OpTypeSampledImage = 27,
    OpTypeArray = 28,
    OpTypeStruct = 30,
    OpTypePointer = 32,
    OpVariable = 59,
    OpDecorate = 71,
    OpMemberDecorate = 72,
};
enum Decoration : uint32_t { NonWritable = 24, NonReadable = 25, BindingNumber = 33, DescriptorSet = 34, Offset = 35 };
enum StorageClass : uint32_t { UniformConstant = 0, Uniform = 2, PushConstant = 9, StorageBuffer = 12 };
constexpr uint32_t kDimBuffer = 5;
constexpr uint32_t kMagic = 0x07230203;

struct Id {
    uint16_t opcode = 0;
    uint32_t type = 0;           // of a pointer: pointee; of a variable: its pointer type; of a vector or image: component
    uint32_t width = 0;          // bytes of a scalar, component count of a vector, dimension of an image
    uint32_t storage = 0;        // storage class of a variable
    uint32_t set = ~0u, binding = ~0u;
    std::vector<uint32_t> members; // types of a struct
    std::vector<uint32_t> offsets; // of a struct's members
    uint32_t non_writable = 0, non_readable = 0; // how many members carry the decoration
    bool self_non_writable = false, self_non_readable = false;
};

using Ids = std::unordered_map<uint32_t, Id>;

const Id& find_id(const Ids& ids, uint32_t number) {
    auto found = ids.find(number);
    require(found != ids.end(), "SPIR-V refers to the id ", number, ", which it does not define");
    return found->second;
}

uint32_t type_bytes(const Ids& ids, uint32_t type) {
    const Id& id = find_id(ids, type);
    return id.opcode == OpTypeVector ? id.width * find_id(ids, id.type).width : id.width;
}

// How many words of an instruction are read below, at least.
uint16_t words_needed(uint16_t opcode) {
    switch (opcode) {
    case OpCapability:
    case OpTypeStruct:
        return 2;
    case OpEntryPoint:
    case OpTypeInt:
    case OpTypeFloat:
    case OpDecorate:
    case OpTypeSampledImage:
        return 3;
    case OpTypeVector:
    case OpTypeImage:
    case OpTypePointer:
    case OpVariable:
    case OpMemberDecorate:
        return 4;
    default:
        return 1;
    }
}

void decorate(Id& id, uint32_t decoration, uint32_t value) {
    if (decoration == DescriptorSet)
        id.set = value;
    if (decoration == BindingNumber)
        id.binding = value;
    if (decoration == NonWritable)
        id.self_non_writable = true;
    if (decoration == NonReadable)
        id.self_non_readable = true;
}

void decorate_member(Id& id, uint32_t member, uint32_t decoration, uint32_t value) {
    if (decoration == NonWritable)
        id.non_writable++;
    if (decoration == NonReadable)
        id.non_readable++;
    if (decoration == Offset) {
        require(member < 16384, "SPIR-V decorates member ", member, " of a structure"); // its own limit, section 2.17
        if (id.offsets.size() <= member)
            id.offsets.resize(member + 1);
        id.offsets[member] = value;
    }
}

} // namespace

ShaderInterface reflect(const Shader& shader) {
    std::span<const uint32_t> code = shader.code;
    require(code.size() > 5 && code[0] == kMagic, "shader ", shader.name, " is not SPIR-V");
    Ids ids;
    ShaderInterface result;
    int entry_points = 0;
    for (size_t at = 5; at < code.size();) {
        uint16_t opcode = uint16_t(code[at] & 0xffff), length = uint16_t(code[at] >> 16);
        require(length >= words_needed(opcode) && at + length <= code.size(), "shader ", shader.name,
                ": SPIR-V ends inside an instruction");
        const uint32_t* word = &code[at];
        switch (opcode) {
        case OpEntryPoint:
            require(word[1] == 5, "shader ", shader.name, " is not a compute shader");
            entry_points++;
            break;
        case OpCapability: // GroupNonUniform (61) to GroupNonUniformQuad (68)
            result.uses_subgroup |= word[1] >= 61 && word[1] <= 68;
            result.uses_coopmat |= word[1] == 6022; // CooperativeMatrixKHR
            break;
        case OpTypeInt:
        case OpTypeFloat:
            ids[word[1]].opcode = opcode;
            ids[word[1]].width = word[2] / 8;
            break;
        case OpTypeVector:
            ids[word[1]].opcode = opcode;
            ids[word[1]].type = word[2];
            ids[word[1]].width = word[3];
            break;
        case OpTypeImage:
            ids[word[1]].opcode = opcode;
            ids[word[1]].type = word[2];
            ids[word[1]].width = word[3];
            break;
        case OpTypeSampledImage:
            ids[word[1]].opcode = opcode;
            ids[word[1]].type = word[2];
            break;
        case OpTypeStruct:
            ids[word[1]].opcode = opcode;
            ids[word[1]].members.assign(word + 2, word + length);
            break;
        case OpTypePointer:
            ids[word[1]].opcode = opcode;
            ids[word[1]].type = word[3];
            break;
        case OpVariable:
            ids[word[2]].opcode = opcode;
            ids[word[2]].type = word[1];
            ids[word[2]].storage = word[3];
            break;
        case OpDecorate:
            decorate(ids[word[1]], word[2], length > 3 ? word[3] : 0);
            break;
        case OpMemberDecorate:
            decorate_member(ids[word[1]], word[2], word[3], length > 4 ? word[4] : 0);
            break;
        default:
            break;
        }
        at += length;
    }
    require(entry_points == 1, "shader ", shader.name, " has ", entry_points, " entry points, one is needed");

    std::vector<bool> seen;
    for (const auto& [number, id] : ids) {
        if (id.opcode != OpVariable)
            continue;
        if (id.storage != StorageBuffer && id.storage != Uniform && id.storage != PushConstant &&
            id.storage != UniformConstant)
            continue;
        const Id& block = find_id(ids, find_id(ids, id.type).type);
        if (id.storage == PushConstant) {
            require(block.offsets.size() >= block.members.size(), "shader ", shader.name,
                    ": a push constant has no offset");
            for (size_t m = 0; m < block.members.size(); m++) {
                uint32_t bytes = type_bytes(ids, block.members[m]);
                require(bytes > 0, "shader ", shader.name, ": a push constant is neither a number nor a vector");
                result.push_bytes = std::max(result.push_bytes, block.offsets[m] + bytes);
            }
        } else if (id.storage == Uniform) {
            require(id.set == 1 && id.binding == 0, "shader ", shader.name, ": a uniform block belongs at set 1, ",
                    "binding 0 (StepParams)");
            result.uses_step = true;
        } else {
            require(id.set == 0 && id.binding < 8, "shader ", shader.name, ": buffers belong at set 0, bindings 0 to 7");
            if (result.bindings.size() <= id.binding) {
                result.bindings.resize(id.binding + 1);
                seen.resize(id.binding + 1);
            }
            bool texels = id.storage == UniformConstant;
            require(!texels || (block.opcode == OpTypeSampledImage && find_id(ids, block.type).width == kDimBuffer),
                    "shader ", shader.name, ": binding ", id.binding, " is neither a buffer nor a texel buffer");
            bool non_writable = texels || id.self_non_writable || block.non_writable == block.members.size();
            bool non_readable = !texels && (id.self_non_readable || block.non_readable == block.members.size());
            ShaderInterface::Binding& binding = result.bindings[id.binding]; // may have several blocks, as float and vec4
            require(!seen[id.binding] || binding.texels == texels, "shader ", shader.name, ": binding ", id.binding,
                    " is both a buffer and a texel buffer");
            binding.texels = texels;
            binding.bits = texels && find_id(ids, find_id(ids, block.type).type).opcode == OpTypeInt;
            binding.reads = !non_readable || (seen[id.binding] && binding.reads);
            binding.writes = !non_writable || (seen[id.binding] && binding.writes);
            seen[id.binding] = true;
        }
    }
    require(std::find(seen.begin(), seen.end(), false) == seen.end(), "shader ", shader.name,
            ": storage bindings must be numbered without gaps");
    return result;
}

} // namespace vkvae
