import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.SQLWarning;
import java.sql.Statement;
import java.util.Properties;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;

/** pgjdbc as support/calling.py describes it: arguments are a URL and name=value settings. */
class Calling {
    private static final BlockingQueue<String> lines = new LinkedBlockingQueue<>();
    private static volatile Statement running;

    public static void main(String[] arguments) throws Exception {
        Properties settings = new Properties();
        for (int i = 1; i < arguments.length; i++) {
            String[] pair = arguments[i].split("=", 2);
            settings.setProperty(pair[0], pair[1]);
        }
        try (Connection connection = DriverManager.getConnection(arguments[0], settings)) {
            Thread listening = new Thread(Calling::listen);
            listening.setDaemon(true);
            listening.start();
            say("ready");
            for (String line = lines.take(); !line.isEmpty(); line = lines.take()) {
                try {
                    say("ended 00000 " + act(connection, line));
                } catch (SQLException error) {
                    Throwable next = error.getNextException();
                    say("ended " + error.getSQLState() + " " + error.getMessage() + (next == null ? "" : " " + next));
                    if (!connection.getAutoCommit()) {
                        connection.rollback();
                    }
                }
            }
        } catch (SQLException error) {
            say("ended " + error.getSQLState() + " " + error.getMessage());
        }
    }

    private static void listen() {
        try (BufferedReader input = new BufferedReader(new InputStreamReader(System.in))) {
            for (String line = input.readLine(); line != null; line = input.readLine()) {
                if (line.equals("cancel")) {
                    running.cancel();
                } else {
                    lines.put(line);
                }
            }
            lines.put("");
        } catch (Exception error) {
            say("ended XX000 " + error);
        }
    }

    private static int act(Connection connection, String line) throws SQLException {
        String[] parts = line.split(" ", line.startsWith("run ") ? 2 : 3);
        String sql = parts[parts.length - 1];
        String[] numbers = parts[1].split(",");
        // a fetch size is taken within a transaction only
        connection.setAutoCommit(!parts[0].equals("fetch"));
        try (PreparedStatement statement = connection.prepareStatement(sql)) {
            running = statement;
            try {
                return act(statement, parts[0], numbers);
            } finally {
                for (SQLWarning warning = statement.getWarnings(); warning != null; warning = warning.getNextWarning()) {
                    say("notice " + warning.getMessage());
                }
                if (!connection.getAutoCommit()) {
                    connection.rollback();
                }
            }
        }
    }

    private static int act(PreparedStatement statement, String verb, String[] numbers) throws SQLException {
        switch (verb) {
            case "values":
                for (int i = 0; i < numbers.length; i++) {
                    statement.setInt(i + 1, Integer.parseInt(numbers[i]));
                }
                return statement.executeUpdate();
            case "batch":
                for (String number : numbers) {
                    statement.setInt(1, Integer.parseInt(number));
                    statement.addBatch();
                }
                return statement.executeBatch().length;
            case "fetch":
                statement.setFetchSize(Integer.parseInt(numbers[0]));
                int count = 0;
                try (ResultSet rows = statement.executeQuery()) {
                    while (rows.next()) {
                        count++;
                    }
                }
                return count;
            case "within":
                statement.setQueryTimeout(Integer.parseInt(numbers[0]));
                return statement.executeUpdate();
            default:
                return statement.execute() ? 0 : statement.getUpdateCount();
        }
    }

    private static synchronized void say(String line) {
        System.out.println(line.replace('\n', ' '));
        System.out.flush();
    }
}
