// An order from somebody who knows nothing of Longshore: JSON, a correlation id and a timestamp.
import { Kafka, logLevel } from "kafkajs";

const [brokers, orderId, correlationId] = process.argv.slice(2);
const producer = new Kafka({ brokers: [brokers], logLevel: logLevel.WARN }).producer();
await producer.connect();
await producer.send({
  topic: "order.created",
  messages: [{
    key: orderId,
    value: JSON.stringify({ orderId, userId: "u-1", items: [{ sku: "CD-1", quantity: 1, unitPrice: { amount: 999, currency: "USD" } }] }),
    headers: { "correlation-id": correlationId, timestamp: new Date().toISOString() },
  }],
});
await producer.disconnect();
