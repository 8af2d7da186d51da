using Diffract.Runs;

namespace Diffract.Formats.Hub;

/// <summary>Where the hub and its cache are, read from the variables that its own tools read.</summary>
public sealed record HubSettings
{
    /// <summary>The cache: <c>HF_HUB_CACHE</c>, else <c>hub</c> in <c>HF_HOME</c>, else in the user's cache folder.</summary>
    public required string Cache { get; init; }

    /// <summary><c>HF_ENDPOINT</c>, else the public hub.</summary>
    public required Uri Endpoint { get; init; }

    /// <summary><c>HF_HUB_OFFLINE</c>: nothing is asked of the network.</summary>
    public bool Offline { get; init; }

    /// <summary><c>HF_TOKEN</c>, else the file that logging in leaves; null when there is neither.</summary>
    public string? Token { get; init; }

    /// <summary>Pause before the first repetition of a failed request, doubled each time.</summary>
    public TimeSpan Pause { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>A connection that gives nothing for so long is given up.</summary>
    public TimeSpan Idle { get; init; } = TimeSpan.FromSeconds(30);

    /// <param name="variable">Gives the value of an environment variable, or null.</param>
    /// <exception cref="DiffractException"><c>HF_ENDPOINT</c> is no address.</exception>
    public static HubSettings Read(Func<string, string?> variable)
    {
        string cacheRoot = Value("XDG_CACHE_HOME") ?? Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.UserProfile), ".cache");
        string home = Value("HF_HOME") ?? Path.Combine(cacheRoot, "huggingface");
        string endpoint = Value("HF_ENDPOINT") ?? "https://huggingface.co";
        return new HubSettings
        {
            Cache = Path.GetFullPath(Value("HF_HUB_CACHE") ?? Value("HUGGINGFACE_HUB_CACHE") ?? Path.Combine(home, "hub")),
            Endpoint = Uri.TryCreate(endpoint.TrimEnd('/') + "/", UriKind.Absolute, out Uri? address) && address.Scheme is "http" or "https"
                ? address
                : throw DiffractException.Argument($"HF_ENDPOINT is {endpoint}; wanted an address that begins with https://"),
            Offline = (Value("HF_HUB_OFFLINE") ?? Value("TRANSFORMERS_OFFLINE"))?.ToUpperInvariant() is "1" or "ON" or "YES" or "TRUE",
            Token = Value("HF_TOKEN") ?? TokenFile(Value("HF_TOKEN_PATH") ?? Path.Combine(home, "token")),
        };

        string? Value(string name) => variable(name)?.Trim() is { Length: > 0 } value ? value : null;
    }

    static string? TokenFile(string path)
    {
        try
        {
            return File.Exists(path) && File.ReadAllText(path).Trim() is { Length: > 0 } token ? token : null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new DiffractException($"cannot read the hub's token in {path}: {e.Message}; set HF_TOKEN", inner: e);
        }
    }
}
