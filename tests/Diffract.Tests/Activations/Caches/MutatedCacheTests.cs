using Diffract.Activations.Caches;
using Diffract.Tests.Formats;

namespace Diffract.Tests.Activations.Caches;

/// <summary>The small files of a cache, damaged: each is read or refused with our own error.</summary>
public sealed class MutatedCacheTests : IDisposable
{
    const long MostBytes = 8 << 20;
    readonly TemporaryFolder _folder = new();
    readonly string _base, _chat;

    public MutatedCacheTests() => (_base, _chat) = CacheCopies.Of("f32", _folder.Path);

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Configurations() => Json("cache config.json", "config.json");

    [Fact]
    public void Shapes_of_shards() => Json("cache .meta", "shard_1.meta");

    [Fact]
    public void Bytes_of_a_shape() => Bytes("cache .meta by bytes", Path.Combine(_base, "shard_1.meta"));

    [Fact]
    public void Tokens() => Bytes("cache tokens.pt", Path.Combine(_base, "../tokens.pt"));

    [Fact]
    public void Document_starts() => Bytes("cache sequence_ranges.pt", Path.Combine(_base, "../sequence_ranges.pt"));

    [Fact]
    public void Means() => Bytes("cache mean.pt", Path.Combine(_base, "mean.pt"));

    void Json(string kind, string name)
    {
        string path = Path.Combine(_base, name);
        JsonMutations mutations = new([File.ReadAllText(path)]);
        MutatedFiles.Check(kind, MostBytes, mutations.Damage, damaged => Read(path, damaged));
    }

    void Bytes(string kind, string path)
    {
        byte[] sound = File.ReadAllBytes(path);
        MutatedFiles.Check(kind, MostBytes, m => m.Damage(sound), damaged => Read(path, damaged));
    }

    void Read(string path, byte[] damaged)
    {
        File.WriteAllBytes(path, damaged);
        CacheStage.Look(new CacheSettings { BaseCache = _base, ChatCache = _chat });
    }
}
