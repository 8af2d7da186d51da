using System.Runtime.InteropServices;
using Diffract.Runs;
using Microsoft.Data.Sqlite;

namespace Diffract.Evidence;

/// <summary>
/// <c>examples.db</c>: quantile examples as the published tools store them, so that their reader opens it; beside their three tables an index by latent, quantile and value, which their queries gain from.
/// </summary>
public static class ExampleDatabase
{
    const string Schema = """
        CREATE TABLE sequences (sequence_idx INTEGER PRIMARY KEY, token_ids BLOB);
        CREATE TABLE quantile_examples (feature_idx INTEGER, quantile_idx INTEGER, activation REAL, sequence_idx INTEGER,
            PRIMARY KEY (feature_idx, sequence_idx), FOREIGN KEY (sequence_idx) REFERENCES sequences(sequence_idx));
        CREATE TABLE activation_details (feature_idx INTEGER, sequence_idx INTEGER, positions BLOB, activation_values BLOB,
            PRIMARY KEY (feature_idx, sequence_idx), FOREIGN KEY (sequence_idx) REFERENCES sequences(sequence_idx),
            FOREIGN KEY (feature_idx, sequence_idx) REFERENCES quantile_examples(feature_idx, sequence_idx));
        CREATE INDEX quantile_examples_by_value ON quantile_examples (feature_idx, quantile_idx, activation);
        """;

    /// <summary>Writes the file, whole or not at all.</summary>
    /// <param name="path">The file.</param>
    /// <param name="examples">Finished.</param>
    /// <param name="latents">L.</param>
    /// <returns>Examples written.</returns>
    /// <exception cref="DiffractException">It cannot be written.</exception>
    public static long Write(string path, QuantileExamples examples, int latents)
    {
        string beside = path + ".partial";
        try
        {
            Directory.CreateDirectory(Path.GetDirectoryName(Path.GetFullPath(path))!);
            File.Delete(beside);
            long written = Fill(beside, examples, latents);
            File.Move(beside, path, overwrite: true);
            return written;
        }
        catch (SqliteException e)
        {
            throw new DiffractException($"cannot write {path}: {e.Message}", inner: e);
        }
        finally
        {
            File.Delete(beside);
        }
    }

    static long Fill(string path, QuantileExamples examples, int latents)
    {
        using SqliteConnection connection = Open(path, SqliteOpenMode.ReadWriteCreate);
        using SqliteTransaction transaction = connection.BeginTransaction();
        using (SqliteCommand schema = connection.CreateCommand())
        {
            schema.CommandText = Schema;
            schema.ExecuteNonQuery();
        }

        using Insertion sequences = new(connection, "INSERT INTO sequences VALUES ($0, $1)", 2);
        using Insertion quantiles = new(connection, "INSERT INTO quantile_examples VALUES ($0, $1, $2, $3)", 4);
        using Insertion details = new(connection, "INSERT INTO activation_details VALUES ($0, $1, $2, $3)", 4);
        for (int s = 0; s < examples.Sequences.Count; s++)
        {
            sequences.Run(s, Bytes<int>(examples.Sequences[s]));
        }

        long written = 0;
        for (int j = 0; j < latents; j++)
        {
            for (int q = 0; q < QuantileExamples.Quantiles.Count; q++)
            {
                foreach ((float value, int sequence) in examples.Of(q, j))
                {
                    (int[] positions, float[] values) = examples.Details(j, sequence);
                    quantiles.Run(j, q, (double)value, sequence);
                    details.Run(j, sequence, Bytes<int>(positions), Bytes<float>(values));
                    written++;
                }
            }
        }

        transaction.Commit();
        return written;
    }

    /// <summary>A connection that lets go of the file when it is closed.</summary>
    static SqliteConnection Open(string path, SqliteOpenMode mode)
    {
        SqliteConnection connection = new(new SqliteConnectionStringBuilder { DataSource = path, Mode = mode, Pooling = false }.ToString());
        connection.Open();
        return connection;
    }

    static byte[] Bytes<T>(T[] values)
        where T : struct => MemoryMarshal.AsBytes<T>(values).ToArray();

    /// <summary>A prepared statement.</summary>
    sealed class Insertion : IDisposable
    {
        readonly SqliteCommand _command;

        public Insertion(SqliteConnection connection, string text, int parameters)
        {
            _command = connection.CreateCommand();
            _command.CommandText = text;
            for (int i = 0; i < parameters; i++)
            {
                _command.Parameters.Add(new SqliteParameter { ParameterName = $"${i}" });
            }
        }

        public void Run(params ReadOnlySpan<object> values)
        {
            for (int i = 0; i < values.Length; i++)
            {
                _command.Parameters[i].Value = values[i];
            }

            _command.ExecuteNonQuery();
        }

        public void Dispose() => _command.Dispose();
    }
}
