using System.Text;
using System.Text.Json.Nodes;
using Diffract.Runs;

namespace Diffract.Evidence;

/// <summary>
/// JSON lines that are made over a long time: they grow beside their place in <c>NAME.partial</c>, whose first line says what makes them, and move there when all are done. Another call with the same settings goes on after the last
/// whole line.
/// </summary>
sealed class PartialLines : IDisposable
{
    readonly string _path;
    readonly FileStream _file;

    PartialLines(string path, FileStream file, int count) => (_path, _file, Count) = (path, file, count);

    /// <summary>Lines that were there.</summary>
    public int Count { get; }

    /// <param name="path">Where the finished file goes.</param>
    /// <param name="identity">What decides the lines.</param>
    /// <param name="fresh">Begin again whatever is there.</param>
    /// <exception cref="DiffractException">An unfinished file of other settings.</exception>
    public static PartialLines Open(string path, JsonObject identity, bool fresh)
    {
        string partial = path + ".partial", header = identity.ToJsonString(Provenance.Line) + "\n";
        Directory.CreateDirectory(Path.GetDirectoryName(Path.GetFullPath(path))!);
        if (fresh)
        {
            File.Delete(partial);
        }

        FileStream file = new(partial, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.Read);
        try
        {
            byte[] bytes = new byte[file.Length];
            file.ReadExactly(bytes);
            byte[] wanted = Encoding.UTF8.GetBytes(header);
            if (bytes.Length > 0 && bytes.Contains((byte)'\n') && !bytes.AsSpan().StartsWith(wanted))
            {
                throw new DiffractException($"{partial} was begun with other settings, another model or other chats; give --fresh to begin again");
            }

            if (!bytes.AsSpan().StartsWith(wanted))
            {
                file.SetLength(0);
                file.Write(wanted);
                return new PartialLines(path, file, 0);
            }

            // A line that a stop cut in two is made again.
            file.SetLength(Array.LastIndexOf(bytes, (byte)'\n') + 1);
            file.Seek(0, SeekOrigin.End);
            return new PartialLines(path, file, bytes.Count(b => b == '\n') - 1);
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <summary>Adds lines, all in one write.</summary>
    public void Add(IReadOnlyList<string> lines)
    {
        _file.Write(Encoding.UTF8.GetBytes(string.Concat(lines.Select(l => l + "\n"))));
        _file.Flush();
    }

    /// <summary>Writes the finished file with the lines that are kept, and takes the partial one away.</summary>
    public void Finish(Func<string, bool> kept)
    {
        _file.Seek(0, SeekOrigin.Begin);
        using (StreamReader reader = new(_file, Encoding.UTF8, leaveOpen: true))
        {
            reader.ReadLine();
            AtomicFile.Write(_path, stream =>
            {
                while (reader.ReadLine() is { } line)
                {
                    if (kept(line))
                    {
                        stream.Write(Encoding.UTF8.GetBytes(line + "\n"));
                    }
                }
            });
        }

        _file.Dispose();
        File.Delete(_path + ".partial");
    }

    public void Dispose() => _file.Dispose();
}
