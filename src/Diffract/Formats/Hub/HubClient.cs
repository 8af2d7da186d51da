using System.Globalization;
using System.Net;
using System.Net.Http.Headers;
using System.Text.Json;
using Diffract.Runs;

namespace Diffract.Formats.Hub;

/// <summary>Asks the hub, again and again where that may help. Redirects are followed by hand, since the token must not go to another host.</summary>
sealed class HubClient : IDisposable
{
    const int MostFailures = 5;
    const int MostRedirects = 10;
    const long MostListBytes = 64 << 20;
    static readonly TimeSpan MostPause = TimeSpan.FromMinutes(2);

    readonly HubSettings _settings;
    readonly HttpClient _http;

    public HubClient(HubSettings settings)
    {
        _settings = settings;
        _http = new HttpClient(new SocketsHttpHandler { AllowAutoRedirect = false, ConnectTimeout = settings.Idle }) { Timeout = Timeout.InfiniteTimeSpan };
        _http.DefaultRequestHeaders.UserAgent.ParseAdd("diffract/" + typeof(HubClient).Assembly.GetName().Version!.ToString(3));
    }

    /// <summary>The commit of a revision, and its files with lengths and hashes.</summary>
    public HubCommit Commit(HubName name, CancellationToken stop)
    {
        Uri address = new(_settings.Endpoint, $"{name.ApiPath}/revision/{Uri.EscapeDataString(name.Revision)}?blobs=true");
        return Persist($"the list of files of {name}", List, stop);

        HubCommit List()
        {
            using HttpResponseMessage answer = Get(address, name, 0, stop);
            using Stream body = answer.Content.ReadAsStream(stop);
            using MemoryStream text = new();
            Copy(body, (bytes, at) => text.Write(bytes), MostListBytes, $"the list of files of {name}", stop);
            return Parse(text.ToArray(), name);
        }
    }

    /// <summary>Appends to <paramref name="path"/> until it holds the whole file, going on where an earlier call, or another tool, stopped.</summary>
    public void Fetch(HubName name, string commit, HubFile file, string path, Action<long> report, CancellationToken stop)
    {
        Uri address = new(_settings.Endpoint, $"{name.PagePath}/resolve/{commit}/{string.Join('/', file.Name.Split('/').Select(Uri.EscapeDataString))}");
        _ = Persist(file.Name, Rest, stop);

        bool Rest()
        {
            using FileStream disk = Open(path);
            if (disk.Length > file.Bytes)
            {
                disk.SetLength(0);
            }

            long before = disk.Length;
            if (before == file.Bytes)
            {
                return true;
            }

            try
            {
                using HttpResponseMessage answer = Get(address, name, before, stop);
                Append(answer, file, disk, report, stop);
                return true;
            }
            catch (Exception e) when (Transient(e))
            {
                throw new HubInterruption(e.Message, disk.Length > before, (e as HubInterruption)?.Pause);
            }
        }
    }

    public void Dispose() => _http.Dispose();

    static FileStream Open(string path)
    {
        try
        {
            return new FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.Read, 1);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new DiffractException($"cannot write {path}: {e.Message}; choose a cache that can be written with HF_HUB_CACHE", inner: e);
        }
    }

    void Append(HttpResponseMessage answer, HubFile file, FileStream disk, Action<long> report, CancellationToken stop)
    {
        // A server that knows no ranges sends the file from its beginning.
        long from = answer.StatusCode == HttpStatusCode.PartialContent ? disk.Length : 0;
        if (answer.StatusCode == HttpStatusCode.PartialContent && answer.Content.Headers.ContentRange?.From != from)
        {
            throw new DiffractException($"the server answered {answer.Content.Headers.ContentRange?.ToString() ?? "a range that it does not name"} of {file.Name}, wanted the bytes from {from} on; remove {disk.Name} and try again");
        }

        if (answer.Content.Headers.ContentLength is { } length && from + length > file.Bytes)
        {
            throw TooLong(file);
        }

        disk.SetLength(from);
        disk.Position = from;
        Stream target = AtomicFile.Through.Value?.Invoke(disk) ?? disk;
        using Stream body = answer.Content.ReadAsStream(stop);
        long got = from + Copy(body, Keep, file.Bytes - from, file.Name, stop);
        disk.Flush(flushToDisk: true);
        if (got < file.Bytes)
        {
            throw new HubInterruption($"the connection ended after {got} of {file.Bytes} bytes");
        }

        void Keep(ReadOnlySpan<byte> bytes, long at)
        {
            try
            {
                target.Write(bytes);
            }
            catch (IOException e)
            {
                throw new DiffractException($"cannot write {disk.Name}: {e.Message}; free some space or set HF_HUB_CACHE; what was fetched is kept", inner: e);
            }

            report(from + at);
        }
    }

    static DiffractException TooLong(HubFile file) => new($"the server sends more than the {file.Bytes} bytes that it lists for {file.Name}; ask again later, or for another revision");

    /// <summary>Reads a body to its end; more than <paramref name="most"/> bytes are refused before they are kept. Returns their number.</summary>
    long Copy(Stream body, Chunk keep, long most, string what, CancellationToken stop)
    {
        byte[] buffer = new byte[1 << 17];
        for (long at = 0; ;)
        {
            int read = Wait(token => body.ReadAsync(buffer, token).AsTask().GetAwaiter().GetResult(), stop);
            if (read == 0)
            {
                return at;
            }

            at += read;
            if (at > most)
            {
                throw new DiffractException($"the server sends more than the {most} bytes that {what} may have; ask again later, or for another revision");
            }

            keep(buffer.AsSpan(0, read), at);
        }
    }

    delegate void Chunk(ReadOnlySpan<byte> bytes, long at);

    /// <summary>Waits for the network, but not longer than it may be idle.</summary>
    T Wait<T>(Func<CancellationToken, T> action, CancellationToken stop)
    {
        using CancellationTokenSource idle = CancellationTokenSource.CreateLinkedTokenSource(stop);
        idle.CancelAfter(_settings.Idle);
        try
        {
            return action(idle.Token);
        }
        catch (OperationCanceledException) when (!stop.IsCancellationRequested)
        {
            throw new HubInterruption(string.Create(CultureInfo.InvariantCulture, $"nothing came for {_settings.Idle.TotalSeconds:0.#} seconds"));
        }
    }

    T Persist<T>(string what, Func<T> attempt, CancellationToken stop)
    {
        for (int failures = 0; ;)
        {
            stop.ThrowIfCancellationRequested();
            try
            {
                return attempt();
            }
            catch (HttpRequestException e) when (e.HttpRequestError == HttpRequestError.NameResolutionError && failures == 0)
            {
                // No network at all, most likely, or a folder's name with a slip in it.
                throw new DiffractException($"cannot fetch {what}: {_settings.Endpoint.Host} is not known here ({e.Message}), and there is no such folder; give a folder, or set HF_ENDPOINT", inner: e);
            }
            catch (Exception e) when (Transient(e))
            {
                HubInterruption? interruption = e as HubInterruption;
                failures = interruption is { Advanced: true } ? 1 : failures + 1;
                if (failures > MostFailures)
                {
                    throw new DiffractException(
                        $"cannot fetch {what} from {_settings.Endpoint}: {e.Message} ({failures} times in a row); call the same command again, it goes on where this one stopped; HF_ENDPOINT names another server", inner: e);
                }

                TimeSpan pause = interruption?.Pause ?? _settings.Pause * Math.Pow(2, failures - 1);
                stop.WaitHandle.WaitOne(pause < MostPause ? pause : MostPause);
            }
        }
    }

    static bool Transient(Exception e) => e is HubInterruption or HttpRequestException or IOException;

    /// <summary>The answer of a server that has what was asked for, its body not yet read.</summary>
    HttpResponseMessage Get(Uri address, HubName name, long from, CancellationToken stop)
    {
        Uri at = address;
        for (int hops = 0; hops <= MostRedirects; hops++)
        {
            using HttpRequestMessage request = new(HttpMethod.Get, at);
            if (from > 0)
            {
                request.Headers.Range = new RangeHeaderValue(from, null);
            }

            if (_settings.Token is { } token && at.Authority == _settings.Endpoint.Authority && at.Scheme == _settings.Endpoint.Scheme)
            {
                request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", token);
            }

            HttpResponseMessage answer = Wait(t => _http.Send(request, HttpCompletionOption.ResponseHeadersRead, t), stop);
            if (answer.StatusCode is HttpStatusCode.OK or HttpStatusCode.PartialContent)
            {
                return answer;
            }

            using (answer)
            {
                at = (int)answer.StatusCode is 301 or 302 or 303 or 307 or 308 && answer.Headers.Location is { } location ? Follow(at, location) : throw Refusal(answer, name, at);
            }
        }

        throw new DiffractException($"{address} leads to more than {MostRedirects} other addresses; check HF_ENDPOINT");
    }

    static Uri Follow(Uri from, Uri location)
    {
        Uri to = new(from, location);
        return to.Scheme == "https" || (to.Scheme == "http" && from.Scheme == "http") ? to : throw new DiffractException($"{from} leads to {to}, which is not encrypted; check HF_ENDPOINT");
    }

    Exception Refusal(HttpResponseMessage answer, HubName name, Uri address)
    {
        string code = Header("X-Error-Code"), message = Header("X-Error-Message");
        Uri page = new(_settings.Endpoint, name.PagePath);
        string account = _settings.Token is null ? "set HF_TOKEN to the token of an account that may read it" : "the account of HF_TOKEN may not read it";
        switch ((int)answer.StatusCode)
        {
            case 408 or 425 or 429 or >= 500:
                TimeSpan? pause = answer.Headers.RetryAfter?.Delta ?? (answer.Headers.RetryAfter?.Date is { } date && date > DateTimeOffset.UtcNow ? date - DateTimeOffset.UtcNow : null);
                return new HubInterruption($"the server answered {(int)answer.StatusCode} {answer.ReasonPhrase}", pause: pause);
            case 401 or 403 when code == "GatedRepo":
                return new DiffractException($"{name.Repository} is gated: accept its terms on {page} and {account}");
            case 404 when code == "RevisionNotFound":
                return new DiffractException($"{name.Repository} has no revision {name.Revision}; {page} lists its branches, tags and commits");
            case 401 or 403 or 404 when code is "RepoNotFound" or "":
                return new DiffractException($"{name.Repository} was not found on {_settings.Endpoint}, and there is no such folder; check the name, or {account} if it is private");
            default:
                return new DiffractException($"{address} answered {(int)answer.StatusCode} {code} {message}".TrimEnd() + "; check the name, or look at " + page);
        }

        string Header(string header) => answer.Headers.TryGetValues(header, out IEnumerable<string>? values) ? string.Join(' ', values) : "";
    }

    HubCommit Parse(byte[] text, HubName name)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(text);
            string sha = document.RootElement.GetProperty("sha").GetString()!;
            return sha.Length == 40 && sha.All(char.IsAsciiHexDigitLower)
                ? new HubCommit(sha, [.. document.RootElement.GetProperty("siblings").EnumerateArray().Select(One)])
                : throw new DiffractException($"{_settings.Endpoint} names the commit '{sha}' for {name}; wanted 40 hexadecimal digits; check HF_ENDPOINT");
        }
        catch (Exception e) when (e is JsonException or KeyNotFoundException or InvalidOperationException or FormatException or NullReferenceException)
        {
            throw new DiffractException($"{_settings.Endpoint} gave no list of files for {name} ({e.Message}); wanted a hub's API; check HF_ENDPOINT", inner: e);
        }
    }

    /// <summary>Whether a file's name is a path inside a repository.</summary>
    public static bool IsInside(string file) => !file.Contains('\\', StringComparison.Ordinal) && !file.Split('/').Any(p => p is "" or "." or "..");

    HubFile One(JsonElement sibling)
    {
        string file = sibling.GetProperty("rfilename").GetString()!;
        if (!IsInside(file))
        {
            throw new DiffractException($"{_settings.Endpoint} lists a file '{file}'; wanted a path inside the repository");
        }

        bool large = sibling.TryGetProperty("lfs", out JsonElement lfs) && lfs.ValueKind == JsonValueKind.Object;
        long bytes = (large ? lfs : sibling).GetProperty("size").GetInt64();
        string hash = (large ? lfs.GetProperty("sha256") : sibling.GetProperty("blobId")).GetString()!;
        return bytes >= 0 && hash.Length == (large ? 64 : 40) && hash.All(char.IsAsciiHexDigitLower)
            ? new HubFile(file, bytes, hash, large)
            : throw new DiffractException($"{_settings.Endpoint} gives the length {bytes} and the hash '{hash}' for {file}; wanted a SHA-{(large ? "256" : "1")} to check it by");
    }
}
