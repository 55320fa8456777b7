// The contract of Buffer and of the copies between host and device.
#include "device.hpp"
#include "io/temp_folder.hpp"

#include <doctest/doctest.h>

using namespace vkvae;
using namespace vkvae::test;

namespace {

std::vector<std::byte> pattern(size_t size) {
    std::vector<std::byte> bytes(size);
    for (size_t i = 0; i < size; i++)
        bytes[i] = std::byte(i * 31 + i / 255);
    return bytes;
}

} // namespace

TEST_CASE("what is uploaded is downloaded, at any size and offset, through staging of any number of pieces") {
    Device& device = test_device();
    const size_t staging = 4u << 20;
    Buffer buffer(device, 2 * staging + 4096, Memory::device, "round trip");
    for (size_t size : {size_t(1), size_t(3), size_t(4097), staging - 1, staging, staging + 1, 2 * staging + 777})
        for (uint64_t offset : {0, 1, 255}) {
            CAPTURE(size);
            CAPTURE(offset);
            device.fill(buffer, 0, buffer.bytes, 0xa5a5a5a5);
            std::vector<std::byte> data = pattern(size), back(size), beside(2);
            device.upload(buffer, offset, data);
            device.download(buffer, offset, back);
            CHECK(back == data);
            device.download(buffer, offset + size, beside);
            CHECK(beside == std::vector<std::byte>(2, std::byte(0xa5)));
        }
}

TEST_CASE("memory that the host sees is copied without the device") {
    Device& device = test_device();
    for (Memory kind : {Memory::upload, Memory::readback}) {
        Buffer buffer(device, 100, kind, "mapped");
        REQUIRE(buffer.mapped != nullptr);
        std::vector<std::byte> data = pattern(33), back(33);
        device.upload(buffer, 7, data);
        CHECK(std::equal(data.begin(), data.end(), buffer.mapped + 7));
        device.download(buffer, 7, back);
        CHECK(back == data);
    }
}

TEST_CASE("copies and fills beyond the end are refused") {
    Device& device = test_device();
    Buffer buffer(device, 64, Memory::device, "small");
    std::vector<std::byte> data(65);
    CHECK_THROWS_AS(device.upload(buffer, 0, data), Error);
    CHECK_THROWS_AS(device.download(buffer, 0, data), Error);
    CHECK_THROWS_AS(device.upload(buffer, 60, std::span(data).first(8)), Error);
    CHECK_THROWS_AS(device.fill(buffer, 60, 8, 0), Error);
    CHECK_THROWS_AS(device.fill(buffer, 2, 4, 0), Error);
    CHECK_THROWS_AS(Buffer(device, 0, Memory::device, "nothing"), Error);
    device.upload(buffer, 64, {});
    device.fill(buffer, 64, 0, 0);
}

TEST_CASE("a buffer is counted while it lives, and moves without copying") {
    Device& device = test_device();
    uint64_t before = device.allocated_bytes;
    {
        Buffer a(device, 1001, Memory::device, "a");
        CHECK(a.bytes == 1004);
        CHECK(device.allocated_bytes == before + 1004);
        VkBuffer handle = a.handle;
        Buffer b = std::move(a);
        CHECK(b.handle == handle);
        b = Buffer(device, 8, Memory::upload, "b");
        CHECK(b.bytes == 8);
    }
    CHECK(device.allocated_bytes == before);
}
