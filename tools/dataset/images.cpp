// A folder of PNG and JPEG files as a data set.
#include "dataset/hash.hpp"
#include "dataset/image.hpp"
#include "dataset/sources.hpp"
#include "io/checked.hpp"
#include "io/file.hpp"
#include "vkvae/error.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cctype>
#include <fstream>
#include <set>
#include <system_error>
#include <thread>

namespace vkvae {

namespace fs = std::filesystem;

namespace {

struct Found {
    fs::path path;
    std::string relative; // to the folder (of the split), with '/'
};

struct Listing {
    std::vector<Found> images; // sorted by the bytes of `relative`
    std::string other;         // a file that is no image, for the message when there is nothing else
};

// Files that claim to be pictures: those we cannot read are reported as bad instead of being passed over in silence.
bool has_picture_suffix(const fs::path& path) {
    static constexpr std::array<std::string_view, 14> kSuffixes = {".png", ".jpg", ".jpeg", ".gif",  ".webp",
                                                                   ".bmp", ".tif", ".tiff", ".avif", ".heic",
                                                                   ".jxl", ".tga", ".ppm",  ".pgm"};
    std::string suffix = path_text(path.extension());
    for (char& c : suffix)
        c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    return std::find(kSuffixes.begin(), kSuffixes.end(), suffix) != kSuffixes.end();
}

bool starts_like_image(const fs::path& path) {
    std::array<char, 8> first{};
    std::ifstream file(path, std::ios::binary);
    file.read(first.data(), first.size());
    return looks_like_image(std::as_bytes(std::span(first).first(static_cast<std::size_t>(file.gcount()))));
}

Listing list_images(const fs::path& root) {
    Listing listing;
    std::error_code code;
    fs::recursive_directory_iterator at(root, code);
    require_data(!code, "cannot list ", path_text(root), ": ", code.message());
    for (const fs::recursive_directory_iterator end; at != end; at.increment(code)) {
        require_data(!code, "cannot list ", path_text(root), ": ", code.message());
        const fs::path& path = at->path();
        std::error_code ignored;
        const bool hidden = path_text(path.filename()).starts_with('.');
        if (hidden && at->is_directory(ignored))
            at.disable_recursion_pending();
        if (hidden || !at->is_regular_file(ignored))
            continue;
        if (has_picture_suffix(path) || starts_like_image(path)) {
            const std::u8string relative = path.lexically_relative(root).generic_u8string();
            listing.images.push_back({path, std::string(relative.begin(), relative.end())});
        } else if (listing.other.empty()) {
            listing.other = path_text(path.filename());
        }
    }
    require_data(!code, "cannot list ", path_text(root), ": ", code.message());
    std::sort(listing.images.begin(), listing.images.end(),
              [](const Found& a, const Found& b) { return a.relative < b.relative; });
    return listing;
}

// Every image with hash % 10 == 0 tests; when chance leaves none, the one with the smallest hash does.
std::vector<Found> take_split(std::vector<Found> images, bool is_test) {
    const auto hash = [](const Found& image) { return hash_text(image.relative); };
    const auto tests = [&](const Found& image) { return hash(image) % 10 == 0; };
    std::string only;
    if (images.size() >= 2 && std::none_of(images.begin(), images.end(), tests))
        only = std::min_element(images.begin(), images.end(), [&](const Found& a, const Found& b) {
                   return hash(a) < hash(b);
               })->relative;
    std::erase_if(images, [&](const Found& image) { return (tests(image) || image.relative == only) != is_test; });
    return images;
}

std::string class_of(const Found& image) {
    const std::size_t slash = image.relative.find('/');
    return slash == std::string::npos ? std::string() : image.relative.substr(0, slash);
}

// The images of the split, and the classes of all splits: those must not depend on the split.
std::vector<Found> find_images(const DatasetRequest& request, std::vector<std::string>& class_names) {
    const fs::path root = source_path(request.source);
    const bool is_test = request.split == "test";
    std::error_code ignored;
    const bool has_folders = fs::is_directory(root / "train", ignored) && fs::is_directory(root / "test", ignored);
    const Listing listing = list_images(has_folders ? root / request.split : root);
    require_data(!listing.images.empty(), path_text(root), ": no PNG or JPEG images",
                 has_folders ? " in " + request.split : "", " and no MNIST-style IDX files",
                 listing.other.empty() ? "" : " (but for example " + listing.other + ")");
    std::vector<Found> all = listing.images;
    if (has_folders) {
        const Listing others = list_images(root / (is_test ? "train" : "test"));
        all.insert(all.end(), others.images.begin(), others.images.end());
    }
    std::set<std::string> classes; // sorted by bytes, like the files
    for (const Found& image : all)
        classes.insert(class_of(image));
    // Labels are bytes, and an image directly in the folder belongs to no class.
    if (!classes.contains("") && classes.size() <= 256)
        class_names.assign(classes.begin(), classes.end());
    return has_folders ? listing.images : take_split(listing.images, is_test);
}

// Calls work(0) .. work(count - 1) on all cores; work must not throw.
template <class Work> void for_each_parallel(std::size_t count, const Work& work) {
    std::atomic<std::size_t> next{0};
    const auto run = [&] {
        for (std::size_t i = next++; i < count; i = next++)
            work(i);
    };
    constexpr unsigned kMostThreads = 16; // beyond that the disk is the limit
    const std::size_t threads =
        std::min<std::size_t>(count, std::clamp(std::thread::hardware_concurrency(), 1u, kMostThreads));
    std::vector<std::thread> helpers;
    helpers.reserve(threads);
    try {
        for (std::size_t i = 1; i < threads; ++i)
            helpers.emplace_back(run);
    } catch (const std::system_error&) {
        // The system gives no more threads: fewer do it too.
    }
    run();
    for (std::thread& helper : helpers)
        helper.join();
}

enum class State : std::uint8_t { good, bad, other_size };

struct Decoder {
    const std::vector<Found>& images;
    Extent target; // 3 channels unless 1 or 4 were asked for
    bool resizes;  // otherwise every image must have the target's size
    std::vector<std::byte> pixels;
    std::vector<State> states;
    std::vector<std::string> reasons; // of the bad ones
    std::vector<Extent> sizes;
    std::atomic<bool> has_colour{false};

    void decode(std::size_t i) noexcept {
        try {
            const std::vector<std::byte> file = read_file(images[i].path, kMaxImageFileBytes);
            Image image = decode_image(file, images[i].relative, target.channels == 3 ? 0 : target.channels);
            sizes[i] = {image.height, image.width, image.channels};
            if (image.channels == 3)
                has_colour = true;
            if (!resizes && (image.height != target.height || image.width != target.width)) {
                states[i] = State::other_size;
                return;
            }
            const std::size_t size = pixels.size() / images.size();
            fit_pixels(image.pixels.data(), sizes[i], reinterpret_cast<std::uint8_t*>(pixels.data() + i * size),
                       target);
        } catch (const std::exception& error) {
            states[i] = State::bad;
            reasons[i] = error.what();
        }
    }
};

// The size of the first image that can be decoded, when the request leaves it open.
Extent native_size(const std::vector<Found>& images) {
    for (const Found& image : images) {
        try {
            const Image first = decode_image(read_file(image.path, kMaxImageFileBytes), image.relative);
            return {first.height, first.width, first.channels};
        } catch (const Error&) {
            continue; // counted with its reason by the decoder
        }
    }
    return {1, 1, 1};
}

void check_result(const Decoder& decoder, const std::string& folder) {
    std::size_t bad = 0, first_bad = 0, first_good = decoder.images.size();
    for (std::size_t i = decoder.images.size(); i-- > 0;) {
        if (decoder.states[i] == State::bad)
            ++bad, first_bad = i;
        else
            first_good = i;
    }
    // One bad file never stops a run, however small the folder.
    require_data(bad <= std::max<std::size_t>(1, decoder.images.size() / 100) && bad < decoder.images.size(), folder,
                 ": ", bad, " of ", decoder.images.size(), " image files cannot be read, the first is ",
                 decoder.reasons[first_bad]);
    for (std::size_t i = 0; i < decoder.images.size(); ++i)
        if (decoder.states[i] == State::other_size) {
            const Extent &one = decoder.sizes[first_good], &two = decoder.sizes[i];
            fail(Status::data, folder, ": the images differ in size: ", decoder.images[first_good].relative, " is ",
                 one.width, " x ", one.height, " and ", decoder.images[i].relative, " is ", two.width, " x ",
                 two.height,
                 " (width x height); give the model's height and width, and they are cropped and resampled to it");
        }
}

// Grey files all of them: one channel of the three.
void drop_colour(Dataset& dataset) {
    for (std::size_t i = 0; i < dataset.pixels.size() / 3; ++i)
        dataset.pixels[i] = dataset.pixels[3 * i];
    dataset.pixels.resize(dataset.pixels.size() / 3);
    dataset.channels = 1;
}

} // namespace

bool accepts_images(const std::string& source) {
    std::error_code ignored;
    return fs::is_directory(source_path(source), ignored);
}

Dataset load_images(const DatasetRequest& request) {
    Dataset dataset;
    const fs::path folder = fs::absolute(source_path(request.source)).lexically_normal();
    dataset.name = path_text(folder.has_filename() ? folder.filename() : folder.parent_path().filename());
    std::vector<std::string> class_names;
    const std::vector<Found> found = find_images(request, class_names);
    if (found.empty() && request.optional)
        return dataset;
    require_data(!found.empty(), request.source, ": the ", request.split, " split is empty");
    std::vector<Found> images;
    for (const std::int64_t i : choose_items(static_cast<std::int64_t>(found.size()), request.limit, request.seed))
        images.push_back(found[static_cast<std::size_t>(i)]);

    const bool resizes = request.height > 0;
    Extent target = resizes ? Extent{request.height, request.width, 3} : native_size(images);
    target.channels = request.channels == 1 || request.channels == 4 ? request.channels : 3;
    std::uint64_t total = 0;
    require_data(product_within({images.size(), std::uint64_t(target.height), std::uint64_t(target.width),
                                 std::uint64_t(target.channels)},
                                kMaxDatasetBytes, total),
                 request.source, ": ", images.size(), " images of ", target.width, " x ", target.height,
                 " pixels do not fit into memory; set a limit or the model's height and width");
    Decoder decoder{
        .images = images, .target = target, .resizes = resizes, .pixels = {}, .states = {}, .reasons = {}, .sizes = {}};
    decoder.pixels.resize(static_cast<std::size_t>(total));
    decoder.states.resize(images.size());
    decoder.reasons.resize(images.size());
    decoder.sizes.resize(images.size());
    for_each_parallel(images.size(), [&](std::size_t i) { decoder.decode(i); });
    check_result(decoder, request.source);

    dataset.count = static_cast<std::int64_t>(images.size());
    dataset.height = target.height;
    dataset.width = target.width;
    dataset.channels = target.channels;
    dataset.pixels = std::move(decoder.pixels);
    dataset.class_names = class_names;
    std::vector<std::int64_t> good;
    for (std::size_t i = 0; i < images.size(); ++i) {
        if (!class_names.empty()) {
            const auto at = std::lower_bound(class_names.begin(), class_names.end(), class_of(images[i]));
            dataset.labels.push_back(static_cast<std::uint8_t>(at - class_names.begin()));
        }
        if (decoder.states[i] == State::good)
            good.push_back(static_cast<std::int64_t>(i));
        else
            dataset.skipped.push_back(decoder.reasons[i]);
    }
    keep_items(dataset, good);
    if (request.channels == 0 && !decoder.has_colour)
        drop_colour(dataset);
    return dataset;
}

} // namespace vkvae
