using Diffract.Formats.Hub;
using Diffract.Runs;

namespace Diffract.Tests.Formats.Hub;

public sealed class HubFolderTests : IDisposable
{
    readonly TemporaryFolder _folder = new();
    readonly HubServer _server = new();
    readonly ListProgress _progress = new();
    readonly byte[] _weights = new byte[400_000];

    public HubFolderTests()
    {
        new Random(7).NextBytes(_weights);
        _server.Files["config.json"] = "{}"u8.ToArray();
        _server.Files["tokenizer.json"] = "{ }"u8.ToArray();
        _server.Files["model.safetensors"] = _weights;
        _server.Files["pytorch_model.bin"] = new byte[5000];
        _server.Files["README.md"] = "words"u8.ToArray();
    }

    string Cache => Path.Combine(_folder.Path, "hub");

    string Repository => Path.Combine(Cache, "models--org--model");

    HubSettings Settings => new() { Cache = Cache, Endpoint = new Uri(_server.Address + "/"), Pause = TimeSpan.FromMilliseconds(1), Idle = TimeSpan.FromSeconds(20) };

    public void Dispose()
    {
        _server.Dispose();
        _folder.Dispose();
    }

    string Resolve(string name, HubContents contents = HubContents.Checkpoint, HubSettings? settings = null) => HubFolder.Resolve(name, contents, settings ?? Settings, _progress, default);

    [Fact]
    public void A_checkpoint_is_fetched_into_the_layout_of_the_hubs_own_tools()
    {
        string folder = Resolve("org/model");

        Assert.Equal(Path.Combine(Repository, "snapshots", HubServer.Commit), folder);
        Assert.Equal(["config.json", "model.safetensors", "tokenizer.json"], Directory.GetFiles(folder).Select(f => Path.GetFileName(f)).Order());
        Assert.Equal(HubServer.Commit, File.ReadAllText(Path.Combine(Repository, "refs", "main")));
        FileInfo link = new(Path.Combine(folder, "model.safetensors"));
        Assert.Equal(Path.Combine("..", "..", "blobs", HubServer.Hash(_weights)), link.LinkTarget);
        Assert.Equal(_weights, File.ReadAllBytes(link.FullName));
        Assert.Empty(Directory.GetFiles(Path.Combine(Repository, "blobs"), "*.incomplete"));
        Assert.Equal("org/model@0123456", HubName.Of(folder));
    }

    [Fact]
    public void What_is_in_the_cache_is_taken_without_asking_the_network()
    {
        string folder = Resolve("org/model");
        int asked = _server.Requests.Count;

        Assert.Equal(folder, Resolve("org/model"));
        Assert.Equal(folder, Resolve("org/model@" + HubServer.Commit, settings: Settings with { Offline = true }));
        Assert.Equal(asked, _server.Requests.Count);
    }

    [Fact]
    public void Offline_says_what_is_missing_and_asks_nothing()
    {
        DiffractException e = Assert.Throws<DiffractException>(() => Resolve("org/model", settings: Settings with { Offline = true }));

        Assert.Contains("HF_HUB_OFFLINE", e.Message, StringComparison.Ordinal);
        Assert.Contains("main", e.Message, StringComparison.Ordinal);
        Assert.Empty(_server.Requests);
    }

    [Fact]
    public void A_connection_that_drops_is_gone_on_with_where_it_ended()
    {
        int left = 9;
        _server.Spoil = r => r.Path.EndsWith("model.safetensors", StringComparison.Ordinal) && left-- > 0 ? _server.Honest(r) with { CutAfter = 40_000 } : null;

        string folder = Resolve("org/model");

        Assert.Equal(_weights, File.ReadAllBytes(Path.Combine(folder, "model.safetensors")));
        long[] starts = [.. _server.Downloads.Where(r => r.Path.EndsWith("model.safetensors", StringComparison.Ordinal)).Select(r => r.From ?? 0)];
        Assert.Equal(Enumerable.Range(0, 10).Select(i => 40_000L * i), starts);
    }

    [Fact]
    public void A_file_that_another_call_began_is_gone_on_with()
    {
        string incomplete = Path.Combine(Repository, "blobs", HubServer.Hash(_weights) + ".incomplete");
        Directory.CreateDirectory(Path.GetDirectoryName(incomplete)!);
        File.WriteAllBytes(incomplete, _weights[..123_456]);

        Resolve("org/model");

        Assert.Equal(123_456, _server.Downloads.Single(r => r.Path.EndsWith("model.safetensors", StringComparison.Ordinal)).From);
    }

    [Fact]
    public void A_beginning_with_other_bytes_is_fetched_again_from_nothing()
    {
        string incomplete = Path.Combine(Repository, "blobs", HubServer.Hash(_weights) + ".incomplete");
        Directory.CreateDirectory(Path.GetDirectoryName(incomplete)!);
        File.WriteAllBytes(incomplete, new byte[1000]);

        string folder = Resolve("org/model");

        Assert.Equal(_weights, File.ReadAllBytes(Path.Combine(folder, "model.safetensors")));
        Assert.Equal([1000L, null], _server.Downloads.Where(r => r.Path.EndsWith("model.safetensors", StringComparison.Ordinal)).Select(r => r.From));
    }

    [Fact]
    public void A_server_without_ranges_sends_the_file_again()
    {
        int left = 1;
        _server.Spoil = r => !r.Path.EndsWith("model.safetensors", StringComparison.Ordinal) ? null : left-- > 0 ? _server.Honest(r) with { CutAfter = 40_000 } : new HubAnswer(200, _weights);

        Assert.Equal(_weights, File.ReadAllBytes(Path.Combine(Resolve("org/model"), "model.safetensors")));
    }

    [Fact]
    public void Bytes_with_another_hash_never_become_a_blob()
    {
        byte[] wrong = [.. _weights];
        wrong[5]++;
        _server.Spoil = r => r.Path.EndsWith("model.safetensors", StringComparison.Ordinal) ? new HubAnswer(200, wrong) : null;

        DiffractException e = Assert.Throws<DiffractException>(() => Resolve("org/model"));

        Assert.Contains(HubServer.Hash(wrong), e.Message, StringComparison.Ordinal);
        Assert.Contains(HubServer.Hash(_weights), e.Message, StringComparison.Ordinal);
        Assert.False(File.Exists(Path.Combine(Repository, "blobs", HubServer.Hash(_weights))));
        Assert.False(File.Exists(Path.Combine(Repository, "blobs", HubServer.Hash(_weights) + ".incomplete")));
        Assert.False(File.Exists(Path.Combine(Repository, "refs", "main")));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void A_body_longer_than_the_list_says_is_refused(bool said)
    {
        _server.Spoil = r => r.Path.EndsWith("model.safetensors", StringComparison.Ordinal) ? new HubAnswer(200, [.. _weights, 1]) { ClaimedLength = said ? _weights.Length + 1 : null } : null;

        Assert.Contains("more than the 400000 bytes", Assert.Throws<DiffractException>(() => Resolve("org/model")).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_server_that_always_fails_is_given_up_with_its_answer()
    {
        _server.Spoil = _ => new HubAnswer(503, []);

        DiffractException e = Assert.Throws<DiffractException>(() => Resolve("org/model"));

        Assert.Contains("503", e.Message, StringComparison.Ordinal);
        Assert.Equal(6, _server.Requests.Count);
    }

    [Fact]
    public void A_server_that_falls_silent_is_left_after_a_while()
    {
        bool first = true;
        _server.Spoil = r =>
        {
            bool stall = first && r.Path.EndsWith("model.safetensors", StringComparison.Ordinal);
            first &= !stall;
            return stall ? _server.Honest(r) with { CutAfter = 100_000, Stall = true } : null;
        };

        Assert.Equal(_weights, File.ReadAllBytes(Path.Combine(Resolve("org/model", settings: Settings with { Idle = TimeSpan.FromMilliseconds(300) }), "model.safetensors")));
    }

    [Fact]
    public void The_token_goes_to_the_hub_and_not_where_it_redirects()
    {
        using HubServer elsewhere = new();
        elsewhere.Spoil = _ => new HubAnswer(200, _weights);
        _server.Spoil = r => r.Path.EndsWith("model.safetensors", StringComparison.Ordinal) ? new HubAnswer(302, []) { Headers = { ["Location"] = elsewhere.Address + "/signed" } } : null;

        string folder = Resolve("org/model", settings: Settings with { Token = "hf_secret" });

        Assert.Equal(_weights, File.ReadAllBytes(Path.Combine(folder, "model.safetensors")));
        Assert.All(_server.Requests, r => Assert.Equal("Bearer hf_secret", r.Headers["Authorization"]));
        Assert.DoesNotContain("Authorization", Assert.Single(elsewhere.Requests).Headers.Keys);
    }

    [Fact]
    public void A_redirect_on_the_hub_itself_keeps_the_token()
    {
        _server.Spoil = r => r.Path.Contains("/revision/", StringComparison.Ordinal) && !r.Path.Contains("again", StringComparison.Ordinal)
            ? new HubAnswer(307, []) { Headers = { ["Location"] = r.Path + "&again" } }
            : null;

        Resolve("org/model", settings: Settings with { Token = "hf_secret" });

        Assert.All(_server.Requests, r => Assert.Equal("Bearer hf_secret", r.Headers["Authorization"]));
    }

    [Theory]
    [InlineData(403, "GatedRepo", null, "is gated: accept its terms")]
    [InlineData(403, "GatedRepo", "t", "the account of HF_TOKEN may not read it")]
    [InlineData(401, "RepoNotFound", null, "set HF_TOKEN")]
    [InlineData(404, "RevisionNotFound", null, "has no revision main")]
    [InlineData(400, "BadThing", null, "answered 400 BadThing")]
    public void A_refusal_says_what_to_do_and_is_not_repeated(int status, string code, string? token, string message)
    {
        _server.Spoil = _ => new HubAnswer(status, []) { Headers = { ["X-Error-Code"] = code } };

        Assert.Contains(message, Assert.Throws<DiffractException>(() => Resolve("org/model", settings: Settings with { Token = token })).Message, StringComparison.Ordinal);
        Assert.Single(_server.Requests);
    }

    [Fact]
    public void Shards_are_those_of_the_index()
    {
        _server.Files.Remove("model.safetensors");
        _server.Files["model.safetensors.index.json"] = """{"weight_map":{"a":"model-00001-of-00002.safetensors","b":"model-00002-of-00002.safetensors"}}"""u8.ToArray();
        _server.Files["model-00001-of-00002.safetensors"] = _weights[..2000];
        _server.Files["model-00002-of-00002.safetensors"] = _weights[2000..5000];
        _server.Files["other-00001.safetensors"] = _weights[..1500];

        string folder = Resolve("org/model");

        Assert.Equal(
            ["config.json", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "model.safetensors.index.json", "tokenizer.json"],
            Directory.GetFiles(folder).Select(f => Path.GetFileName(f)).Order(StringComparer.Ordinal));
    }

    [Fact]
    public void A_dictionary_may_lie_in_a_folder_of_its_repository()
    {
        _server.Files["blocks.14/cfg.json"] = "{ \"a\": 1 }"u8.ToArray();
        _server.Files["blocks.14/cc_weights.pt"] = _weights[..3000];

        string folder = Resolve("org/model/blocks.14", HubContents.Dictionary);

        Assert.Equal(["cc_weights.pt", "cfg.json"], Directory.GetFiles(folder).Select(f => Path.GetFileName(f)).Order(StringComparer.Ordinal));
        Assert.Equal("org/model/blocks.14@0123456", HubName.Of(folder));
    }

    [Fact]
    public void A_repository_without_safetensors_says_what_it_has()
    {
        _server.Files.Remove("model.safetensors");
        _server.Files["sub/model.safetensors"] = _weights;

        string message = Assert.Throws<DiffractException>(() => Resolve("org/model")).Message;

        Assert.Contains("pytorch_model.bin", message, StringComparison.Ordinal);
        Assert.Contains("org/model/FOLDER", message, StringComparison.Ordinal);
        Assert.Empty(_server.Downloads);
    }

    [Theory]
    [InlineData("../x")]
    [InlineData("/etc/x")]
    [InlineData("a//b")]
    public void A_list_that_points_outside_is_refused(string file)
    {
        _server.Files[file] = _weights;

        Assert.Contains("inside the repository", Assert.Throws<DiffractException>(() => Resolve("org/model")).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("")]
    [InlineData("<html>")]
    [InlineData("""{"sha": 3}""")]
    [InlineData("""{"sha": "x", "siblings": []}""")]
    [InlineData("""{"sha": "0123456789abcdef0123456789abcdef01234567", "siblings": [{"rfilename": "config.json"}]}""")]
    public void A_list_that_is_none_is_refused(string list)
    {
        _server.Spoil = _ => new HubAnswer(200, System.Text.Encoding.UTF8.GetBytes(list));

        Assert.Contains(_server.Address, Assert.Throws<DiffractException>(() => Resolve("org/model")).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_full_disk_keeps_what_was_fetched()
    {
        AtomicFile.Through.Value = stream => new FullDisk(stream, 150_000);
        DiffractException e = Assert.Throws<DiffractException>(() => Resolve("org/model"));
        AtomicFile.Through.Value = null;
        Assert.Contains("what was fetched is kept", e.Message, StringComparison.Ordinal);
        long kept = new FileInfo(Path.Combine(Repository, "blobs", HubServer.Hash(_weights) + ".incomplete")).Length;
        Assert.InRange(kept, 1, 150_000);

        Resolve("org/model");

        Assert.Equal(kept, _server.Downloads.Last(r => r.Path.EndsWith("model.safetensors", StringComparison.Ordinal)).From);
    }

    [Fact]
    public void Two_processes_fetch_a_file_once()
    {
        string[] folders = new string[4];
        Parallel.For(0, folders.Length, new ParallelOptions { MaxDegreeOfParallelism = folders.Length }, i => folders[i] = HubFolder.Resolve("org/model", HubContents.Checkpoint, Settings, new SilentProgress(), default));

        Assert.Single(folders.Distinct());
        Assert.Single(_server.Downloads, r => r.Path.EndsWith("model.safetensors", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("org/model", "org/model", "", "main")]
    [InlineData("org/model@v1.0", "org/model", "", "v1.0")]
    [InlineData("org/model@refs/pr/3", "org/model", "", "refs/pr/3")]
    [InlineData("org/mo-del_2.b/a/b@x", "org/mo-del_2.b", "a/b", "x")]
    public void A_name_has_parts(string text, string repository, string folder, string revision) => Assert.Equal(new HubName(repository, folder, revision), HubName.Parse(text));

    [Theory]
    [InlineData("model")]
    [InlineData("./org/model")]
    [InlineData("/org/model")]
    [InlineData("org/model/../../x")]
    [InlineData("a b/c")]
    [InlineData("")]
    public void A_path_is_no_name(string text)
    {
        Assert.Null(HubName.Parse(text));
        Assert.Equal(text, Resolve(text));
    }

    [Fact]
    public void A_folder_that_is_there_comes_before_the_hub()
    {
        Assert.Equal(_folder.Path, Resolve(_folder.Path));
        Assert.Empty(_server.Requests);
    }
}
