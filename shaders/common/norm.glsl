// x (N, S, C) with C in `groups` groups: where element e of group (n, g) is.
layout(push_constant) uniform Push {
    uint count;
    uint batch, positions, channels, groups;
#ifdef CHUNKS
    uint chunks;
#endif
};

uint group_elements() { return positions * (channels / groups); }
// row = n * groups + g
uint element_at(uint row, uint e) {
    uint in_group = channels / groups;
    return (row / groups * positions + e / in_group) * channels + row % groups * in_group + e % in_group;
}
uint row_of(uint index) { return index / (positions * channels) * groups + index % channels / (channels / groups); }
