using Diffract.Formats;
using Diffract.Runs;

namespace Diffract.Tests.Formats;

public sealed class SafetensorsTests : IDisposable
{
    readonly string _path = Path.Combine(Path.GetTempPath(), Path.GetRandomFileName());

    public void Dispose() => File.Delete(_path);

    [Fact]
    public void A_file_behind_a_symbolic_link_is_read_as_in_a_model_cache()
    {
        using TemporaryFolder folder = new();
        string blob = Path.Combine(folder.Path, "blob"), link = Path.Combine(folder.Path, "model.safetensors");
        SafetensorsWriter writer = new();
        writer.AddBytes("w", "F32", [2], 8, stream => stream.Write([0, 0, 128, 63, 0, 0, 0, 64]));
        writer.Save(blob);
        File.CreateSymbolicLink(link, "blob");
        using SafetensorsFile file = SafetensorsFile.Open(link);
        Assert.Equal([1f, 2f], file.Floats("w"));
        Assert.Equal(new FileInfo(blob).Length, CheckpointFiles.Length(link));
    }

    [Fact]
    public void What_is_written_is_read_back()
    {
        SafetensorsWriter writer = new();
        writer.Metadata["format"] = "pt";
        writer.Add("a", new float[] { 1, -2.5f, 3 }, 3);
        writer.Add("scalar", new long[] { 7 }, []);
        writer.Add("d", new double[] { 0.1, 0.2 }, 1, 2);
        writer.Save(_path);

        using SafetensorsFile file = SafetensorsFile.Open(_path);
        Assert.Equal([1, -2.5f, 3], file.Floats("a", 3));
        Assert.Equal([7L], file.Integers("scalar"));
        Assert.Equal([0.1, 0.2], file.Doubles("d", 1, 2));
        Assert.Equal("pt", file.Metadata["format"]);
    }

    [Theory]
    [InlineData("""{"w":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}""", 8, "truncated")]
    [InlineData("""{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"v":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}""", 12, "inside w")]
    [InlineData("""{"w":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}""", 8, "needs 12")]
    [InlineData("""{"w":{"dtype":"F99","shape":[2],"data_offsets":[0,8]}}""", 8, "unknown type F99")]
    [InlineData("""{"w":{"dtype":"F32","shape":[9000000000,9000000000],"data_offsets":[0,8]}}""", 8, "larger than any file")]
    [InlineData("""{"w":{"dtype":"F32","shape":"x","data_offsets":[0,8]}}""", 8, "malformed")]
    public void A_broken_header_names_the_tensor(string header, int dataBytes, string message)
    {
        Write(header, dataBytes);
        DiffractException e = Assert.Throws<DiffractException>(() => SafetensorsFile.Open(_path));
        Assert.Contains(message, e.Message, StringComparison.Ordinal);
        Assert.Contains("tensor", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_wrong_shape_says_got_and_wanted()
    {
        Write("""{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}""", 8);
        using SafetensorsFile file = SafetensorsFile.Open(_path);
        DiffractException e = Assert.Throws<DiffractException>(() => file.Floats("w", 3));
        Assert.Contains("[2], wanted [3]", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void An_oversized_header_is_refused()
    {
        File.WriteAllBytes(_path, [.. BitConverter.GetBytes(1UL << 40), .. new byte[16]]);
        Assert.Contains("header of", Assert.Throws<DiffractException>(() => SafetensorsFile.Open(_path)).Message, StringComparison.Ordinal);
    }

    void Write(string header, int dataBytes)
    {
        byte[] json = System.Text.Encoding.UTF8.GetBytes(header);
        File.WriteAllBytes(_path, [.. BitConverter.GetBytes((ulong)json.Length), .. json, .. new byte[dataBytes]]);
    }
}
